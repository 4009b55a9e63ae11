// What bytes are. Pure functions.

const IMAGES = [["image/png", [0x89, 0x50, 0x4e, 0x47]], ["image/jpeg", [0xff, 0xd8, 0xff]], ["image/gif", [0x47, 0x49, 0x46, 0x38]]];

/** The media type of an image by its first bytes; empty for everything else. @param {Uint8Array} held */
export function imageType(held) {
  for (const [type, start] of /** @type {[string, number[]][]} */ (IMAGES)) if (start.every((byte, i) => held[i] === byte)) return type;
  const words = String.fromCharCode(...held.subarray(0, 12));
  return words.startsWith("RIFF") && words.slice(8) === "WEBP" ? "image/webp" : "";
}

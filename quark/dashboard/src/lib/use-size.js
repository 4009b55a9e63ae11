// The size of an element as a signal.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** How wide or high an element is, in pixels, as long as the component is there.
 * @param {import("preact").RefObject<HTMLElement | null>} element @param {"clientWidth" | "clientHeight"} side @param {number} first until it is known */
export function useSize(element, side, first) {
  const size = useSignal(first);
  useEffect(() => {
    const held = /** @type {HTMLElement} */ (element.current);
    const sized = new ResizeObserver(() => (size.value = held[side]));
    sized.observe(held);
    return () => sized.disconnect();
  }, []);
  return size;
}

// Text of which a part is shown where it is long.
import { useSignal } from "@preact/signals";
import { clipped } from "../lib/format.js";
import { Text } from "./text.jsx";

/** @param {{children: any}} props */
export function Clipped({ children }) {
  const whole = useSignal(false);
  const text = [children].flat().join("");
  const part = clipped(text);
  if (part === text) return <Text>{text}</Text>;
  return (
    <>
      <Text>{whole.value ? text : `${part}…`}</Text>{" "}
      <button class="link" aria-expanded={whole.value} onClick={() => (whole.value = !whole.value)}>{whole.value ? "show less" : `show all ${text.length.toLocaleString("en-US")} characters`}</button>
    </>
  );
}

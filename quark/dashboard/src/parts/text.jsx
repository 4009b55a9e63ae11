// Text that people or programs have given: shown as it is, with marks that would reorder or hide parts of it made visible.
import { visible } from "../lib/format.js";

/** @param {{children: any}} props */
export function Text({ children }) {
  return <bdi>{visible([children].flat().join(""))}</bdi>;
}

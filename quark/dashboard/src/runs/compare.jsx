import { Message } from "../parts/message.jsx";
/** @param {{ids: string[]}} props */
export function ComparePage({ ids }) { return <Message title="Compare" text={ids.join(", ")} />; }

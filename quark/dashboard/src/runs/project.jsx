import { Message } from "../parts/message.jsx";
/** @param {{project: string}} props */
export function ProjectPage({ project }) { return <Message title={project} text="" />; }

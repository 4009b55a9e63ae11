// Work that is spread over frames, so that what comes first is seen before the rest is done.

const BUDGET_MS = 12;
/** @type {(() => void)[]} */
const queue = [];

/** Do it in one of the next frames, in order. @param {() => void} work @returns {() => void} takes it back */
export function paced(work) {
  queue.push(work);
  if (queue.length === 1) requestAnimationFrame(frame);
  return () => {
    const at = queue.indexOf(work);
    if (at > 0) queue.splice(at, 1);
    else if (at === 0) queue[0] = () => {};
  };
}

function frame() {
  const end = performance.now() + BUDGET_MS;
  do queue[0]?.(), queue.shift();
  while (queue.length && performance.now() < end);
  if (queue.length) setTimeout(() => requestAnimationFrame(frame), 0);
}

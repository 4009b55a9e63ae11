// A page that has only something to say.

/** @param {{title: string, text: string, children?: any}} props */
export function Message({ title, text, children }) {
  return (
    <main id="main" class="message">
      <h1>{title}</h1>
      <p>{text}</p>
      {children}
    </main>
  );
}

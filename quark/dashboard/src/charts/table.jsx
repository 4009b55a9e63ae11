// A chart's data as a table, for those who do not see the picture, or want the numbers.
import { metric, number } from "../lib/format.js";
import { view } from "../lib/state.js";
import { Text } from "../parts/text.jsx";

const MOST = 2000;

/** @param {{name: string, lines: Line[], close: () => void}} props */
export function DataTable({ name, lines, close }) {
  const rows = lines.flatMap((line) => Array.from(line.chart.x, (x, i) => ({ line, x, i })));
  return (
    <div class="data">
      <button class="icon close" onClick={close} aria-label="Close the table">×</button>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Data of ${name}`}>
        <table>
          <thead>
            <tr>{lines.length > 1 && <th scope="col">run</th>}{[view.value.x, "mean", "min", "max", "n"].map((head) => <th scope="col" class="num" key={head}>{head}</th>)}</tr>
          </thead>
          <tbody>
            {rows.slice(0, MOST).map(({ line, x, i }) => (
              <tr key={`${line.id} ${i}`}>
                {lines.length > 1 && <td><Text>{line.name}</Text></td>}
                <td class="num">{number(x)}</td>
                <td class="num">{metric(name, line.chart.mean[i])}</td>
                <td class="num">{metric(name, line.chart.min[i])}</td>
                <td class="num">{metric(name, line.chart.max[i])}</td>
                <td class="num">{number(line.chart.n[i])}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {rows.length > MOST && <p class="note">The first {MOST} of {rows.length} rows; the CSV file has them all.</p>}
      </div>
    </div>
  );
}

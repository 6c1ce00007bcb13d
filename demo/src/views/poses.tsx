/** Poses: where joints are, and how they hang together. */
import type { VNode } from "preact";
import type { Pose } from "vitrail";
import { colorNumber, drawBox } from "../draw.js";
import { Figure } from "../parts.js";
import { ask, useAnswer } from "../session.js";
import type { Sight } from "../sight.js";
import { set } from "../state.js";
import { program } from "./code.js";
import { dense, Found } from "./dense.js";

const ICON =
  "M10 2a2.300 2.300 0 1 1 0 4.600A2.300 2.300 0 0 1 10 2zM4 8h12v2h-4.500l1.500 8h-2.200L10 13l-.800 5H7l1.500-8H4z";

/** Joints that are less sure are not drawn, as in the library's pictures. */
const SHOWN = 0.3;

const can = (s: Sight): boolean => s.facts.tasks.includes("pose");

const foundOf = (s: Sight): readonly Pose[] => (s.answers.poses?.value as readonly Pose[] | undefined) ?? [];

function Body({ s }: { s: Sight }): VNode {
  useAnswer("poses", JSON.stringify(s.boxes), (asking) =>
    ask("poses", [[s.opened.id, s.opened.blob], s.boxes], asking),
  );
  return (
    <div class="body">
      <div class="controls">
        <span>{s.boxes.length === 0 ? "The whole photo" : `${s.boxes.length} boxes`}</span>
        <button type="button" class="small" onClick={() => set({ boxes: [] })}>
          Start again
        </button>
      </div>
      {foundOf(s).map(({ keypoints }, person) => (
        <Figure key={person} title={`Joints of person ${person + 1}`}>
          <Found list={keypoints.map(({ name, probability }) => ({ label: name, probability }))} chosen={s.name} />
        </Figure>
      ))}
    </div>
  );
}

export const poses = dense({
  name: "poses",
  label: "Poses",
  lede: () => "Where joints are. Drag a box around each person, or let the whole photo be one.",
  need: {
    can,
    model: "ViTPose-B",
    points: [
      "Drag a box around each person, or take the whole photo.",
      "Every joint has a name, and a number for how sure it is.",
    ],
  },
  icon: ICON,
  draw(s, context, frame, scale) {
    for (const box of s.boxes) drawBox(context, frame, scale, box, { color: 0, label: "", strong: false });
    for (const [person, { keypoints }] of foundOf(s).entries()) {
      const place = (joint: number) => {
        const { x, y } = keypoints[joint]!;
        return [frame.x + x * scale, frame.y + y * scale] as const;
      };
      const sure = (joint: number) => (keypoints[joint]?.probability ?? 0) >= SHOWN;
      context.strokeStyle = `rgb(${colorNumber(person).join(" ")})`;
      context.lineWidth = 3;
      for (const [from, to] of s.facts.edges ?? []) {
        if (!sure(from) || !sure(to)) continue;
        context.beginPath();
        context.moveTo(...place(from));
        context.lineTo(...place(to));
        context.stroke();
      }
      for (const joint of keypoints.keys()) {
        if (!sure(joint)) continue;
        context.beginPath();
        context.arc(...place(joint), joint === s.name ? 8 : 5, 0, 7);
        context.fillStyle = "#fff";
        context.fill();
        context.stroke();
      }
    }
  },
  box(s, { x: xmin, y: ymin }, { x: xmax, y: ymax }) {
    if (can(s)) set({ boxes: [...s.boxes, { xmin, ymin, xmax, ymax }] });
  },
  Body,
  code: (s) => {
    const round = (side: number) => Math.round(side);
    const boxes = s.boxes.map(
      ({ xmin, ymin, xmax, ymax }) =>
        `{ xmin: ${round(xmin)}, ymin: ${round(ymin)}, xmax: ${round(xmax)}, ymax: ${round(ymax)} }`,
    );
    const options = boxes.length > 0 ? `, { boxes: [${boxes.join(", ")}] }` : "";
    return program(s, `for (const { keypoints } of await model.pose(photo${options}))\n  console.log(keypoints);`);
  },
});

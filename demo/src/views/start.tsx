/** Start: what a patch, a token, a layer and an answer are, in four steps that all show the same patch. */
import type { ComponentChildren, VNode } from "preact";
import { magma, shade, signed, viridis } from "../colors.js";
import { drawPatch, drawPixels } from "../draw.js";
import { Bars, Canvas, Heads } from "../parts.js";
import {
  attention,
  bent,
  carrierOf,
  fromClass,
  hasAttention,
  layerOf,
  lit,
  patchOf,
  type Sight,
  similarity,
} from "../sight.js";
import { counted, touches } from "../text.js";
import { program } from "./code.js";
import type { Overlay, View } from "./view.js";

/** The patch at hand, or the class token, as light or as a map. */
export function pointed(s: Sight, show: string): Overlay {
  if (show === "photo") return { marked: !fromClass(s) };
  const values = fromClass(s) ? bent(attention(s)) : lit(similarity(s, layerOf(s)));
  const scale = fromClass(s) ? magma : viridis;
  return show === "map"
    ? { cells: (i) => scale(values[i]!), opaque: 0.8, marked: !fromClass(s) }
    : { cells: (i) => shade(values[i]!), marked: !fromClass(s) };
}

/** A token as stripes: blue below zero, orange above, by the square root of its numbers. */
function Stripes({ label, token }: { label: string; token: Float32Array }): VNode {
  const most = token.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9);
  const color = (i: number) => signed(Math.sign(token[i]!) * Math.sqrt(Math.abs(token[i]!) / most));
  return (
    <Canvas
      draw={(canvas) => drawPixels(canvas, [1, token.length], color)}
      keys={[token.buffer, token.byteOffset]}
      label={label}
    />
  );
}

function BigPatch({ s }: { s: Sight }): VNode {
  const [height, width] = s.facts.config.patchSize;
  const draw = (canvas: HTMLCanvasElement) => {
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d")!;
    if (!fromClass(s)) return drawPatch(context, s.opened, s.seen.geometry, s.seen.grid, patchOf(s));
    context.fillStyle = "#2b2e3b";
    context.fillRect(0, 0, width, height);
  };
  return (
    <Canvas
      draw={draw}
      keys={[s.opened, s.seen, patchOf(s), fromClass(s)]}
      name="patch"
      label={fromClass(s) ? "No patch" : "The patch, enlarged"}
    />
  );
}

const Step = ({
  title,
  text,
  wide,
  children,
}: {
  title: string;
  text: ComponentChildren;
  wide?: boolean;
  children: ComponentChildren;
}): VNode => (
  <li class={wide ? "wide" : undefined}>
    <h2>{title}</h2>
    <p>{text}</p>
    <div>{children}</div>
  </li>
);

function Body({ s }: { s: Sight }): VNode {
  const { depth, heads, patchSize, classes } = s.facts.config;
  const width = s.seen.states[0]!.dims.at(-1)!;
  const [rows, columns] = s.seen.grid;
  const row = fromClass(s) ? 0 : s.seen.prefix + patchOf(s);
  const tokenAfter = (layer: number) => s.seen.states[layer]!.data.subarray(row * width, (row + 1) * width);
  const point = touches ? "Tap" : "Point at";
  /** All heads of all layers, and the answer, beside each other where there is room. */
  const wide = Math.max(depth, heads) > 8;
  const carrier = carrierOf(s);
  return (
    <ol class="body steps">
      <Step
        title="Patch"
        text={`A photo is cut into ${rows} × ${columns} squares. ${point} one: those the model finds alike stay lit.`}
      >
        <div class="side">
          <BigPatch s={s} />
          <p class="quiet">
            {fromClass(s)
              ? "The class token has no patch."
              : `${patchSize[0]} × ${patchSize[1]} pixels. All that the model gets of this place.`}
          </p>
        </div>
      </Step>
      <Step
        title="Token"
        text={
          carrier === "class token" ? (
            <>
              Each patch becomes {width} numbers, its token. One more, the <b>class token</b>, has no patch: it will
              carry the answer.
            </>
          ) : (
            <>
              Each patch becomes {width} numbers, its token. The <b>{carrier}</b> will carry the answer.
            </>
          )
        }
      >
        <div class="stripes">
          <span>Before layer 1: what, and where</span>
          <Stripes label={`${width} numbers of the token before layer 1`} token={tokenAfter(0)} />
          <span>After layer {depth}: part of what</span>
          <Stripes
            label={`${width} numbers of the token after layer ${depth}`}
            token={tokenAfter(s.seen.states.length - 1)}
          />
        </div>
      </Step>
      <Step
        wide={wide}
        title="Layers and heads"
        text={
          <>
            In each of {counted(depth)} layers every token looks at all the others and takes in what it can use. It
            looks in {counted(heads)} ways at once: these are the heads. Below, bright is where{" "}
            <b>{fromClass(s) ? "the class token" : `patch ${patchOf(s) + 1}`}</b> looks.
          </>
        }
      >
        {hasAttention(s) ? (
          <Heads s={s} />
        ) : (
          <p class="quiet">This model has no layers that look at all of the photo.</p>
        )}
      </Step>
      <Step
        wide={wide}
        title="Answer"
        text={
          s.seen.top.length > 0
            ? `After the last layer the ${carrier} is held against ${counted(classes)} names. These fit best.`
            : "This model was trained without names: its tokens are the answer. Look and Features show them."
        }
      >
        <Bars top={s.seen.top} />
      </Step>
    </ol>
  );
}

export const start: View = {
  name: "start",
  label: "Start",
  title: "See what a Vision Transformer sees",
  lede: (s) =>
    `It cuts a photo into patches, lets them compare notes ${counted(s?.facts.config.depth ?? 6)} times, and names what it saw. All of it runs on this machine.`,
  icon: "M2 2h7v7H2zM11 2h7v7h-7zM2 11h7v7H2zM11 11h7v7h-7z",
  shows: [
    ["light", "Light"],
    ["map", "Map"],
    ["photo", "Photo"],
  ],
  explores: true,
  classToken: true,
  overlay: pointed,
  Body,
  code: (s) =>
    program(
      s,
      s.seen.top.length > 0
        ? `for (const { label, probability } of await model.classify(photo))\n  console.log(label, probability);`
        : "console.log(await model.embed(photo));",
    ),
};

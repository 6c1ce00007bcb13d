/** A view before the first photo was seen: its words, and the places of its pictures in their final size. */
import type { VNode } from "preact";
import type { View } from "./view.js";

export const Blank = ({ view }: { view: View }): VNode => (
  <>
    <header class={view.name === "start" ? "heading large" : "heading"}>
      <h1 id="title">{view.name === "start" ? "See what a Vision Transformer sees" : view.label}</h1>
    </header>
    <div class="body">
      <div class="blank" />
    </div>
  </>
);

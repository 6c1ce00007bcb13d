/** A view: what the rail calls it, what it draws on the photo and what it shows beside it. */
import type { ComponentChildren, VNode } from "preact";
import type { Color, Rect } from "../draw.js";
import type { Made } from "../model.js";
import { isReady, type Sight } from "../sight.js";
import type { State } from "../state.js";

/** What a view draws on the photo. */
export interface Overlay {
  /** Color of each patch. */
  readonly cells?: (patch: number) => Color;
  /** How much of the photo the patches cover, of 1. */
  readonly opaque?: number;
  /** True if the patch at hand is framed. */
  readonly marked?: boolean;
  /** Draws what lies in the photo's pixels, of which one is `scale` pixels of the canvas. */
  draw?(context: CanvasRenderingContext2D, frame: Rect, scale: number): void;
}

/** A point on the photo, in its pixels. */
export interface Spot {
  readonly x: number;
  readonly y: number;
}

/** What a view needs of a model, and what it offers where the model at hand has it not. */
export interface Need {
  can(s: Sight): boolean;
  /** A model that can, as it is called in the menu. */
  readonly model: string;
  /** What the view would show. */
  readonly points: readonly string[];
}

export interface View {
  readonly name: string;
  readonly label: string;
  /** The path of its sign, on 20 × 20. */
  readonly icon: string;
  /** Its title, where that is not its label. */
  readonly title?: string;
  /** A sentence about it; also before a photo was seen. */
  lede(s: Sight | undefined): ComponentChildren;
  /** What it takes a model to do, where not all can. */
  readonly need?: Need;
  /** What can be drawn on the photo, the first by itself. */
  readonly shows: readonly (readonly [show: string, label: string])[];
  /** True if pointing picks a patch. */
  readonly explores: boolean;
  /** True if the class token can be taken in place of a patch. */
  readonly classToken?: boolean;
  overlay(s: Sight, show: string): Overlay;
  /** The line below the photo. */
  where?(s: Sight): ComponentChildren;
  /** A click on the photo, where it picks no patch; `away` with the Alt key. */
  press?(s: Sight, spot: Spot, away: boolean): void;
  /** A box that is drawn on the photo. */
  box?(s: Sight, from: Spot, to: Spot): void;
  Body(props: { readonly s: Sight }): VNode;
  /** The picture of the view as the library makes it. */
  picture?(s: Sight): Made;
  /** Lines of a program that do what the view shows, where that is no picture. */
  code?(s: Sight): string;
}

/** True if the model at hand can do what a view needs; before it has seen a photo, nothing is said against it. */
export const canShow = ({ need }: View, s: State): boolean => !need || !isReady(s) || need.can(s);

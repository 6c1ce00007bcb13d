/** A field for texts with commas between, which are looked for when typing rests. */
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { set } from "../state.js";

/** Milliseconds of rest. */
const REST = 500;

export function Texts({ texts, label }: { texts: string; label: string }): VNode {
  const [typed, setTyped] = useState(texts);
  const timer = useRef(0);
  useEffect(() => setTyped(texts), [texts]);
  return (
    <label class="texts">
      <span>{label}</span>
      <input
        type="text"
        value={typed}
        spellcheck={false}
        onInput={({ currentTarget: { value } }) => {
          setTyped(value);
          clearTimeout(timer.current);
          timer.current = window.setTimeout(() => {
            if (value.trim()) set({ texts: value, name: 0 });
          }, REST);
        }}
      />
    </label>
  );
}

/** The head of a view: its title, a sentence, the code of its picture, and ways to take it along. */
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { copyLink, saveCard, saveFile, savePicture } from "./export.js";
import { say } from "./say.js";
import { isReady, type Sight } from "./sight.js";
import { get, type State } from "./state.js";
import { codeOf } from "./views/code.js";
import { canShow, type View } from "./views/view.js";

const EXPORTS = [
  ["Picture on the photo", "PNG", savePicture],
  ["Picture to share", "PNG 1200 × 630", saveCard],
  ["Chart or map", "SVG", (s: Sight) => saveFile(s, "svg")],
  ["Numbers", ".npy", (s: Sight) => saveFile(s, "npy")],
  ["Link to this view", "copy", copyLink],
] as const;

function Export(): VNode {
  const [isOpen, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const items = () => Array.from(box.current!.querySelectorAll<HTMLElement>("[role=menuitem]"));
  useEffect(() => {
    if (!isOpen) return;
    items()[0]!.focus();
    const outside = (event: Event) => {
      if (!box.current!.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [isOpen]);
  const close = () => {
    setOpen(false);
    box.current!.querySelector("button")!.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && isOpen) close();
    if (!step || !isOpen) return;
    event.preventDefault();
    const all = items();
    all.at((all.indexOf(document.activeElement as HTMLElement) + step) % all.length)!.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: keys of the menu, which has the role
    <div class="export" ref={box} onKeyDown={onKeyDown}>
      <button type="button" class="small" aria-haspopup="menu" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        Export
      </button>
      {isOpen && (
        <div class="menu" role="menu" aria-label="Export">
          {EXPORTS.map(([what, kind, save]) => (
            <button
              key={what}
              type="button"
              role="menuitem"
              onClick={() => {
                close();
                const s = get();
                if (isReady(s)) save(s);
              }}
            >
              {what}
              <span>{kind}</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function Code({ code }: { code: string }): VNode {
  const copy = async () => {
    await navigator.clipboard.writeText(code);
    say("Code copied.");
  };
  return (
    <div class="code" id="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
      <pre tabIndex={0}>{colored(code)}</pre>
      <button type="button" class="small" onClick={copy}>
        Copy
      </button>
    </div>
  );
}

/** Words of the language and strings in colors of their own. */
const colored = (code: string): ComponentChildren =>
  code
    .split(/(\b(?:import|from|const|await|of|for)\b|"[^"]*")/)
    .map((part, i) => (i % 2 ? <span class={part.startsWith('"') ? "string" : "keyword"}>{part}</span> : part));

export function Heading({ s, view }: { s: State; view: View }): VNode {
  const [isOpen, setOpen] = useState(false);
  const sight = isReady(s) ? s : undefined;
  const can = canShow(view, s);
  return (
    <header class={view.title ? "heading large" : "heading"}>
      <div class="title">
        <h1 id="title">{view.title ?? view.label}</h1>
        {can && (
          <div class="tools">
            <button
              type="button"
              class="small"
              aria-expanded={isOpen}
              aria-controls="code"
              onClick={() => setOpen(!isOpen)}
            >
              Code
            </button>
            <Export />
          </div>
        )}
      </div>
      <p>{view.lede(sight)}</p>
      {Object.entries(s.answers).map(
        ([kind, { failed, view: asker }]) =>
          failed &&
          asker === view.name && (
            <p key={kind} class="note">
              {failed}
            </p>
          ),
      )}
      {isOpen && can && sight && <Code code={codeOf(view, sight)} />}
    </header>
  );
}

/** What is around every view: the header, the rail, the line at the bottom. */
import type { VNode } from "preact";
import { knownModel, shortName, sizeOf } from "./models.js";
import { isReady } from "./sight.js";
import { get, type State, set } from "./state.js";
import { megabytes } from "./text.js";
import { VIEWS } from "./views/index.js";

const Mark = () => (
  <svg viewBox="0 0 28 28" width="28" height="28" aria-hidden="true">
    <rect width="28" height="28" rx="3" class="lead" />
    <rect x="2.5" y="2.5" width="13" height="9" fill="#3b5be0" />
    <rect x="17.5" y="2.5" width="8" height="9" fill="#f0b429" />
    <rect x="2.5" y="13.5" width="7" height="12" fill="#c9304a" />
    <rect x="11.5" y="13.5" width="14" height="12" fill="#2a9670" />
  </svg>
);

const system = matchMedia("(prefers-color-scheme: dark)");
const tellTheme = (): void =>
  set({ dark: (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark" });

function changeTheme(): void {
  const theme = get().dark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("vitrail-theme", theme);
  } catch {
    // A browser that keeps nothing keeps no theme.
  }
  tellTheme();
}

/** The theme that was chosen, before anything is drawn. */
export function restoreTheme(): void {
  const asked = new URLSearchParams(location.search).get("theme");
  let kept: string | null = null;
  try {
    kept = localStorage.getItem("vitrail-theme");
  } catch {
    // As above.
  }
  const theme = asked ?? kept;
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  tellTheme();
  system.addEventListener("change", tellTheme);
}

/** Keeps the model and the photo, which the page would load again. */
function goToStart(event: MouseEvent): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  set({ view: "start" });
}

export function Header({ s }: { s: State }): VNode {
  const name = s.facts?.name ?? shortName(s.model);
  const size = s.facts ? megabytes(s.facts.bytes) : sizeOf(knownModel(s.model)?.size ?? 0);
  return (
    <header class="top">
      <a class="brand" href="./" aria-label="vitrail, start page" onClick={goToStart}>
        <Mark />
        <span>vitrail</span>
      </a>
      <div>
        <button type="button" class="model" aria-haspopup="dialog" onClick={() => set({ dialog: "models" })}>
          <span class={s.loading ? "dot busy" : "dot"} aria-hidden="true" />
          <span class="name">{name}</span>
          <span class="quiet size">{size}</span>
          <svg viewBox="0 0 10 6" width="10" height="6" class="line" aria-hidden="true">
            <path d="M1 1l4 4 4-4" />
          </svg>
        </button>
        <button type="button" class="icon" aria-label="Dark theme" aria-pressed={s.dark} onClick={changeTheme}>
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <circle cx="10" cy="10" r="6.5" class="line" />
            <path d="M10 3.5a6.5 6.5 0 0 1 0 13z" />
          </svg>
        </button>
      </div>
    </header>
  );
}

const STEPS: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

/** The first of the views that take a model of their own. */
const TASKS = "depth";

export function Rail({ s }: { s: State }): VNode {
  const go = (name: string) => {
    set({ view: name, held: false });
    if (innerWidth < 700) scrollTo({ top: 0 });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const at = VIEWS.findIndex(({ name }) => name === s.view);
    const { name } = VIEWS.at((at + step) % VIEWS.length)!;
    go(name);
    document.getElementById(`tab-${name}`)!.focus();
  };
  return (
    <nav class="rail" aria-label="Views">
      <div role="tablist" aria-label="Views" aria-orientation="vertical" onKeyDown={onKeyDown}>
        {VIEWS.map(({ name, label, icon }) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            class={name === TASKS ? "apart" : undefined}
            aria-selected={name === s.view}
            aria-controls="view"
            tabIndex={name === s.view ? 0 : -1}
            onClick={() => go(name)}
          >
            <svg viewBox="0 0 20 20" aria-hidden="true">
              <path d={icon} />
            </svg>
            {label}
          </button>
        ))}
      </div>
    </nav>
  );
}

/** How the model runs, in a few words. */
export function runs(s: State): string {
  if (!s.facts) return "Loading";
  const { name, threads, precision } = s.facts.backend;
  const on = name === "webgpu" ? "GPU" : `SIMD, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
  return `${on}, ${precision}${isReady(s) ? `, ${Math.round(s.seen.ms)} ms a photo` : ""}`;
}

export const Footer = ({ s }: { s: State }): VNode => (
  <footer class="status">
    <button type="button" class="run" aria-haspopup="dialog" onClick={() => set({ dialog: "run" })}>
      <span class={s.facts ? "dot" : "dot busy"} aria-hidden="true" />
      {runs(s)}
      <span class="link">why?</span>
    </button>
    <span class="much-only">
      <svg viewBox="0 0 14 16" width="12" height="14" class="line" aria-hidden="true">
        <rect x="1.5" y="7" width="11" height="8" rx="1.5" />
        <path d="M4 7V4.500a3 3 0 0 1 6 0V7" />
      </svg>
      Photos stay on this machine
    </span>
    <span class="much-only">{s.online ? "Works offline" : "No network. Models you have still work"}</span>
    <code class="wide-only">npm i vitrail</code>
  </footer>
);

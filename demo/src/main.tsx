/** The page: what is drawn when, and what reaches it from outside. */
import { render, type VNode } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import "./style.css";
import { Dialogs } from "./dialog.js";
import { Heading } from "./heading.js";
import { openFile, openModel, openSample } from "./session.js";
import { Footer, Header, Rail, restoreTheme } from "./shell.js";
import { isReady } from "./sight.js";
import { get, onAddress, set, useStore } from "./state.js";
import { viewOf } from "./views/index.js";
import { Needs } from "./views/need.js";
import { canShow } from "./views/view.js";
import { PhotoWindow } from "./window.js";

function Page(): VNode {
  const s = useStore();
  const view = viewOf(s.view);
  useEffect(() => {
    document.title = `vitrail: ${view.label}`;
    document.getElementById(`tab-${view.name}`)!.scrollIntoView({ block: "nearest", inline: "center" });
  }, [view]);
  const { Body } = view;
  const can = canShow(view, s);
  // The same while the pointer moves.
  const header = useMemo(() => <Header s={s} />, [s.facts, s.model, s.loading, s.dark]);
  const rail = useMemo(() => <Rail s={s} />, [s.view]);
  const footer = useMemo(() => <Footer s={s} />, [s.facts, s.seen, s.opened, s.online]);
  return (
    <>
      <button
        type="button"
        class="skip"
        onClick={() => document.querySelector<HTMLElement>("#view button, #view input")?.focus()}
      >
        Skip to the view
      </button>
      {header}
      {rail}
      <main>
        <PhotoWindow s={s} view={view} />
        <section
          class={`view ${view.name}`}
          id="view"
          role="tabpanel"
          aria-busy={!isReady(s) || s.waiting > 0}
          aria-labelledby={`tab-${view.name}`}
        >
          <Heading s={s} view={view} />
          {isReady(s) ? can ? <Body s={s} /> : <Needs s={s} view={view} /> : <div class="body blank" />}
        </section>
      </main>
      {footer}
      <Dialogs s={s} />
    </>
  );
}

/** Files that are dropped anywhere, or pasted. */
function listenForFiles(): void {
  let over = 0;
  const carries = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
  const drag = (step: number) => (event: DragEvent) => {
    if (!carries(event)) return;
    event.preventDefault();
    over += step;
    set({ dragged: over > 0 });
  };
  addEventListener("dragenter", drag(1));
  addEventListener("dragleave", drag(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over = 0;
    set({ dragged: false });
    const file = event.dataTransfer?.files[0];
    if (file) void openFile(file);
  });
  addEventListener("paste", ({ clipboardData }) => {
    const file = clipboardData?.files[0];
    if (file) void openFile(file);
  });
}

restoreTheme();
// In a task of its own, after the one in which all modules ran.
setTimeout(() => render(<Page />, document.getElementById("page")!));
listenForFiles();
const network = () => set({ online: navigator.onLine });
addEventListener("online", network);
addEventListener("offline", network);
onAddress((address) => {
  const { model, precision, photo } = get();
  set({ ...address, model, precision, photo });
  if (address.model !== model || address.precision !== precision) void openModel(address.model, address.precision);
  if (address.photo !== photo) void openSample(address.photo);
});
void openSample(get().photo);
void openModel(get().model, get().precision).then(() => {
  // Not before: it fetches all that may ever be needed.
  if (import.meta.env.PROD) void navigator.serviceWorker?.register("./service-worker.js");
});

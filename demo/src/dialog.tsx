/** The dialogs: which model, and how it runs. */
import type { ComponentChildren, VNode } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type KnownModel, MODELS, sizeOf } from "./models.js";
import { Choice } from "./parts.js";
import { openGated, openModel } from "./session.js";
import { isReady } from "./sight.js";
import { type Loading, type State, set } from "./state.js";
import { megabytes } from "./text.js";

const close = () => set({ dialog: "" });

/** A dialog of the browser's, which keeps the focus and takes Escape. */
function Dialog({ title, about, children }: { title: string; about?: string; children: ComponentChildren }): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const { current } = dialog;
    current!.showModal();
    return () => current!.close();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, too
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onClose={close}
      onClick={({ target }) => target === dialog.current && close()}
    >
      <header>
        <div>
          <h2 id="dialog-title">{title}</h2>
          {about && <p>{about}</p>}
        </div>
        <button type="button" class="icon" aria-label="Close" onClick={close}>
          <svg viewBox="0 0 20 20" class="line" aria-hidden="true">
            <path d="M5 5l10 10M15 5L5 15" />
          </svg>
        </button>
      </header>
      <div class="content">{children}</div>
    </dialog>
  );
}

/** How far a download is, and how long it still takes. */
function Progress({ name, loaded, total, since }: Loading): VNode {
  const seconds = (performance.now() - since) / 1000;
  const left = loaded > 0 && seconds > 1 ? Math.max(1, Math.round((seconds * (total - loaded)) / loaded)) : undefined;
  return (
    <div class="progress">
      <progress value={total > 0 ? loaded / total : undefined} aria-label={`Getting ${name}`} />
      <span>
        {total > 0 ? `${(loaded / 1e6).toFixed(0)} of ${megabytes(total)}` : "Asking"}
        {left !== undefined && `, ${left} s left`}
      </span>
    </div>
  );
}

function Row({ s, model }: { s: State; model: KnownModel }): VNode {
  const { name, source, about, size } = model;
  const isInUse = s.facts !== undefined && !s.facts.file && s.model === source;
  const isLoading = s.loading?.name === name;
  return (
    <li class={isInUse ? "in-use" : undefined}>
      <span class="name">{name}</span>
      <span class="about">{about}</span>
      <span class="size">{sizeOf(size)}</span>
      {isLoading ? (
        <button type="button" class="small" onClick={() => s.loading!.cancel()}>
          Cancel
        </button>
      ) : isInUse ? (
        <span class="quiet">In use</span>
      ) : (
        <button
          type="button"
          class="small"
          aria-label={source ? `Get ${name}, ${sizeOf(size)}` : `Use ${name}`}
          onClick={() => openModel(source, s.precision)}
        >
          {source ? "Get" : "Use"}
        </button>
      )}
      {isLoading && <Progress {...s.loading!} />}
    </li>
  );
}

/** A field for a token of the Hub, which goes nowhere but there. */
function Token({ source }: { source: string }): VNode {
  const [token, setToken] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim()) void openGated(source, token.trim());
      }}
    >
      <input
        type="password"
        placeholder="hf_…"
        aria-label={`A token that opens ${source}`}
        autocomplete="off"
        value={token}
        onInput={({ currentTarget }) => setToken(currentTarget.value)}
      />
      <button type="submit">Open with it</button>
      <p class="quiet">It is sent to huggingface.co alone, and forgotten with this page.</p>
    </form>
  );
}

function Models({ s }: { s: State }): VNode {
  const [source, setSource] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const chosen = ({ currentTarget }: { currentTarget: HTMLInputElement }) => {
    const files = Array.from(currentTarget.files ?? []);
    currentTarget.value = "";
    if (files.length > 0) void openModel(files, s.precision);
  };
  const other = s.loading && !MODELS.some(({ models }) => models.some(({ name }) => name === s.loading!.name));
  return (
    <Dialog title="Model" about="Downloaded once from huggingface.co, then kept on this machine.">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (source.trim()) void openModel(source.trim(), s.precision);
        }}
      >
        <input
          type="text"
          placeholder="owner/name on the Hugging Face Hub"
          aria-label="A model by name"
          spellcheck={false}
          autocapitalize="off"
          value={source}
          onInput={({ currentTarget }) => setSource(currentTarget.value)}
        />
        <button type="submit">Open</button>
        <button type="button" onClick={() => file.current!.click()}>
          File…
        </button>
        <button type="button" class="wide-only" onClick={() => folder.current!.click()}>
          Folder…
        </button>
        <input ref={file} id="model-file" type="file" multiple hidden onChange={chosen} />
        <input ref={folder} type="file" {...{ webkitdirectory: true }} hidden onChange={chosen} />
      </form>
      {s.failed && (
        <p class="notice" role="alert">
          {s.failed}
        </p>
      )}
      {s.gated && <Token source={s.gated} />}
      {other && (
        <div class="other">
          <Progress {...s.loading!} />
          <button type="button" class="small" onClick={() => s.loading!.cancel()}>
            Cancel
          </button>
        </div>
      )}
      {MODELS.map(({ group, models }) => (
        <section key={group}>
          <h3>{group}</h3>
          <ul class="models">
            {models.map((model) => (
              <Row key={model.name} s={s} model={model} />
            ))}
          </ul>
        </section>
      ))}
      <div class="precision">
        <Choice
          label="Precision"
          options={[
            ["f32", "f32"],
            ["f16", "f16"],
            ["int8", "int8"],
          ]}
          value={s.precision}
          change={(precision) => (s.facts?.file ? set({ precision }) : openModel(s.model, precision))}
        />
        <p class="quiet">int8 is a quarter of the memory and quicker; probabilities differ slightly.</p>
      </div>
    </Dialog>
  );
}

function Run({ s }: { s: State }): VNode {
  const { facts } = s;
  const rows: readonly (readonly [string, string])[] = facts
    ? [
        ["Backend", facts.backend.name === "webgpu" ? "WebGPU" : "WebAssembly SIMD"],
        ["Why", facts.backend.reason],
        ["Threads", `${facts.backend.threads} of ${navigator.hardwareConcurrency} processors`],
        ["Precision", facts.backend.precision],
        ["One photo", isReady(s) ? `${s.seen.ms.toFixed(1)} ms, the last one` : ""],
        ["Loading", `${facts.loadMs.toFixed(0)} ms`],
        ["Memory", `${megabytes(facts.memory.weights)} of weights, ${megabytes(facts.memory.activations)} to work in`],
        ["Sent", "0 bytes of your photos. Only models are fetched."],
      ]
    : [["Model", "on its way"]];
  return (
    <Dialog title="How it runs here">
      <dl class="facts">
        {rows.map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name} value`}>{value}</dd>])}
      </dl>
      <p>
        <a href="./licences.txt">Licences of what is in this page</a>
      </p>
    </Dialog>
  );
}

export function Dialogs({ s }: { s: State }): VNode | null {
  if (s.dialog === "models") return <Models s={s} />;
  return s.dialog === "run" ? <Run s={s} /> : null;
}

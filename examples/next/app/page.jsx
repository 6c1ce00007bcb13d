"use client";
// Classifies the images that are chosen, in a worker of the browser; the server renders the empty page.
import { useEffect, useRef, useState } from "react";
import { load } from "vitrail";

export default function Page() {
  const model = useRef();
  const controller = useRef();
  const [progress, setProgress] = useState({});
  const [status, setStatus] = useState("Loading the model");
  const [results, setResults] = useState([]);

  useEffect(() => {
    const stop = new AbortController();
    const loading = load(undefined, { signal: stop.signal, onProgress: setProgress });
    model.current = loading;
    loading.then(
      ({ backend }) =>
        setStatus(`${backend.name}, ${backend.precision}, threads: ${backend.threads}; ${backend.reason}`),
      ({ message }) => stop.signal.aborted || setStatus(message),
    );
    return () => {
      stop.abort();
      loading.then(
        (vit) => vit.dispose(),
        () => {},
      );
    };
  }, []);

  async function classify({ target }) {
    controller.current = new AbortController();
    const { signal } = controller.current;
    setResults([]);
    for (const [id, file] of [...target.files].entries()) {
      let result;
      try {
        const [best] = await (await model.current).classify(file, { signal });
        result = { id, text: `${file.name}: ${best.label} `, probability: best.probability };
      } catch (error) {
        result = { id, text: signal.aborted ? `${file.name}: cancelled` : error.message };
      }
      setResults((before) => [...before, result]);
    }
  }

  return (
    <>
      <input type="file" accept="image/*" multiple onChange={classify} />
      <button type="button" onClick={() => controller.current?.abort()}>
        Cancel
      </button>
      <progress max={progress.total} value={progress.loaded} />
      <ol>
        {results.map(({ id, text, probability }) => (
          <li key={id}>
            {text}
            {probability && <meter value={probability} />}
          </li>
        ))}
      </ol>
      <p id="status">{status}</p>
    </>
  );
}

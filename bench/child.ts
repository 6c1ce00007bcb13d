/** A process of its own that answers one question at a time, for what must not share a heap, a JIT or globals. */
import { fork } from "node:child_process";

export interface Child<Question, Answer> {
  /** @throws Error: what the process threw, or that it ended. */
  ask(question: Question): Promise<Answer>;
  stop(): void;
}

type Reply<Answer> = { readonly answer: Answer } | { readonly error: string };

/** Starts `module`, which calls {@link answer}. */
export function start<Question, Answer>(module: URL, args: readonly string[]): Child<Question, Answer> {
  const child = fork(module, args, { serialization: "advanced" });
  // A failure to send is an end as well, which `ask` reports.
  child.on("error", () => {});
  const name = [module.pathname.split("/").at(-1), ...args].join(" ");
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        const onExit = () => reject(new Error(`bench: "${name}" ended with ${child.signalCode ?? child.exitCode}`));
        if (child.exitCode !== null || child.signalCode !== null) return onExit();
        child.once("exit", onExit);
        child.once("message", (reply: Reply<Answer>) => {
          child.off("exit", onExit);
          if ("error" in reply) reject(new Error(`bench: "${name}" failed: ${reply.error}`));
          else resolve(reply.answer);
        });
        child.send(question as object);
      }),
    stop: () => void child.kill(),
  };
}

/** In the child: answers every question with `respond`. */
export function answer<Question, Answer>(respond: (question: Question) => Promise<Answer>): void {
  process.on("message", (question: Question) => {
    respond(question).then(
      (value) => process.send!({ answer: value } satisfies Reply<Answer>),
      (error: Error) => process.send!({ error: error.stack ?? error.message } satisfies Reply<Answer>),
    );
  });
}

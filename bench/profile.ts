/** Where the time of one forward goes: run as a child, by op and by what a linear layer is for. */
import { start } from "./child.js";
import type { ProfileQuestion, ProfileSample } from "./profile-child.js";

export interface ProfileResults {
  readonly profiles: readonly ProfileSample[];
}

const QUESTIONS: readonly ProfileQuestion[] = (["Ti", "S", "B"] as const).flatMap((size) => [
  { size, precision: "f32", wide: false },
  { size, precision: "int8", wide: true },
]);

export async function measureProfile(): Promise<ProfileResults> {
  const profiles: ProfileSample[] = [];
  for (const question of QUESTIONS) {
    const child = start<ProfileQuestion, ProfileSample>(new URL("./profile-child.js", import.meta.url), []);
    try {
      profiles.push(await child.ask(question));
    } finally {
      child.stop();
    }
  }
  return { profiles };
}

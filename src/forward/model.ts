/** The model of a call: the image tower with its heads, and the text tower. */
import type { HeadsConfig, HeadsWeights } from "../heads/index.js";
import type { TextConfig, TextWeights } from "../vit/text.js";
import type { VitConfig, VitWeights } from "../vit/vit.js";

export interface ModelConfig extends VitConfig, HeadsConfig {
  readonly text: TextConfig | undefined;
}

export interface Weights extends VitWeights, HeadsWeights {
  readonly text: TextWeights | undefined;
}

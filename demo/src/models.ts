/** Models by name: what each is good for, and how much it is to download. */

export interface KnownModel {
  readonly name: string;
  /** A repository of the Hub; empty for the model that comes with the page. */
  readonly source: string;
  readonly about: string;
  /** Of its weights, in MB: 4 bytes a parameter (demo/sizes.py). While it is downloaded, and then, its own bytes are shown. */
  readonly size: number;
}

export const DEFAULT_MODEL: KnownModel = {
  name: "vitrail small",
  source: "",
  about: "10 names, 8 × 8 patches. Comes with the page",
  size: 1.6,
};

export const MODELS: readonly { readonly group: string; readonly models: readonly KnownModel[] }[] = [
  {
    group: "Names",
    models: [
      DEFAULT_MODEL,
      {
        name: "ViT-Ti/16",
        source: "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        about: "1,000 names, 14 × 14 patches",
        size: 23,
      },
      { name: "DeiT-S/16", source: "facebook/deit-small-patch16-224", about: "1,000 names, 14 × 14 patches", size: 88 },
      { name: "ViT-B/16", source: "google/vit-base-patch16-224", about: "1,000 names, 14 × 14 patches", size: 346 },
    ],
  },
  {
    group: "Features",
    models: [
      { name: "DINOv2 S/14", source: "facebook/dinov2-small", about: "16 × 16 patches, fine maps of parts", size: 88 },
      {
        name: "DINOv3 S/16",
        source: "timm/vit_small_patch16_dinov3.lvd1689m",
        about: "with registers, clean maps",
        size: 86,
      },
    ],
  },
  {
    group: "Words",
    models: [
      { name: "CLIP B/32", source: "openai/clip-vit-base-patch32", about: "any words, 7 × 7 patches", size: 605 },
      {
        name: "SigLIP 2 B/16",
        source: "google/siglip2-base-patch16-224",
        about: "any words, 14 × 14 patches",
        size: 1500,
      },
    ],
  },
  {
    group: "Depth, boxes, masks, poses",
    models: [
      { name: "Depth Anything V2 S", source: "depth-anything/Depth-Anything-V2-Small-hf", about: "depth", size: 99 },
      { name: "YOLOS-Ti", source: "hustvl/yolos-tiny", about: "boxes of 80 kinds", size: 26 },
      { name: "OWLv2 B/16", source: "google/owlv2-base-patch16-ensemble", about: "boxes of what you type", size: 620 },
      { name: "SAM B", source: "facebook/sam-vit-base", about: "masks by pointing", size: 375 },
      { name: "ViTPose-B", source: "usyd-community/vitpose-base-simple", about: "poses of people", size: 344 },
    ],
  },
];

const ALL = MODELS.flatMap(({ models }) => models);

export const knownModel = (source: string): KnownModel | undefined => ALL.find((model) => model.source === source);

/** The one that a view offers where the model at hand cannot do it. */
export const modelNamed = (name: string): KnownModel => ALL.find((model) => model.name === name)!;

/** Its name in the menu, or as short as a repository, an address or a file is called. */
export const shortName = (source: string): string => knownModel(source)?.name ?? source.split("/").at(-1)!;

export const sizeOf = (megabytes: number): string =>
  megabytes >= 1000
    ? `${(megabytes / 1000).toFixed(1)} GB`
    : `${megabytes < 10 ? megabytes.toFixed(1) : Math.round(megabytes)} MB`;

/**
 * Records what a device is to do and hands it over in one command buffer, when a result is asked for. Pipelines compile
 * beside each other and beside the recording; only handing over waits for them, so that nothing ever blocks a page.
 */
import { type Shader, textOf } from "./shader.js";

/** A buffer and a number that no other has. */
export interface Storage {
  readonly buffer: GPUBuffer;
  readonly id: number;
  readonly bytes: number;
}

interface Kernel {
  readonly layout: GPUBindGroupLayout;
  readonly made: Promise<unknown>;
  pipeline?: GPUComputePipeline;
}

type Command =
  | { readonly kernel: Kernel; readonly bindGroup: GPUBindGroup; readonly groups: readonly number[] }
  | { readonly texture: GPUTexture; readonly to: GPUBuffer; readonly bytesPerRow: number }
  | { readonly from: GPUBuffer; readonly to: GPUBuffer; readonly at: number; readonly bytes: number };

export interface Recorder {
  /** Why the device does nothing any more. */
  readonly failure: Error | undefined;
  allocate(bytes: number): Storage;
  /** Frees a buffer when what is recorded no longer needs it. */
  free(storage: Storage): void;
  /** @param storages those that the shader reads, then those that it writes, in its order. */
  run(
    shader: Shader,
    storages: readonly Storage[],
    params: Readonly<Record<string, number>>,
    groups: readonly number[],
  ): void;
  /** Bytes into a buffer, after what is recorded. Offset and length are multiples of 4. */
  write(to: Storage, at: number, bytes: Uint8Array): void;
  /**
   * Pixels of an image into a buffer, four bytes each, after what is recorded; the image is read at once. A row has `bytesPerRow`,
   * a multiple of 256. False, and nothing done, if the device cannot read it, as some cannot read frames of a video.
   */
  draw(
    to: Storage,
    image: CanvasImageSource,
    size: readonly [width: number, height: number],
    bytesPerRow: number,
  ): boolean;
  /** The first bytes of a buffer, when all that is recorded is done. */
  read(from: Storage, bytes: number): Promise<ArrayBuffer>;
  dispose(): void;
}

/** Flags of the specification; only Node has to be given names for them. */
const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 } as const;
const TEXTURE_USAGE = { COPY_SRC: 1, COPY_DST: 2, RENDER_ATTACHMENT: 16 } as const;
const COMPUTE_STAGE = 4;
const MAP_MODE_READ = 1;

/** Bind groups that are kept; a model of one image size has a few hundred. */
const MOST_GROUPS = 4096;

export function createRecorder(device: GPUDevice): Recorder {
  const kernels = new Map<string, Kernel>();
  const layouts = new Map<string, GPUBindGroupLayout>();
  const bindGroups = new Map<string, GPUBindGroup>();
  /** The parameters of each. */
  let uniforms: GPUBuffer[] = [];
  let commands: Command[] = [];
  /** Buffers and textures to be destroyed once what is recorded has been handed over. */
  let garbage: (GPUBuffer | GPUTexture)[] = [];
  let ids = 0;
  let failure: Error | undefined;
  /** Settles when all that was recorded has been handed over. */
  let submitted: Promise<void> = Promise.resolve();
  let unsubmitted = 0;
  let soon: Promise<void> | undefined;
  let disposed = false;
  const buffers = new Set<GPUBuffer>();

  const fail = (what: string, cause?: unknown) => {
    if (!disposed) failure ??= new Error(`webgpu: ${what}`, { cause });
  };
  const lost = device.lost.then(({ message, reason }) => {
    if (!disposed) fail(`the device was lost: ${message.split("\n")[0] || reason}`);
    return "lost" as const;
  });
  device.onuncapturederror = (event) => {
    fail(`the device failed: ${event.error.message.split("\n")[0]}`);
    event.preventDefault();
  };
  let checks: Promise<unknown>[] = [];
  const filters = ["validation", "out-of-memory", "internal"] as const;

  /** Runs calls on the device whose errors end it. Of a lost one some runtimes throw, others do not. */
  function checked<T>(calls: () => T): T {
    for (const filter of filters) device.pushErrorScope(filter);
    try {
      return calls();
    } catch (error) {
      fail(`the device failed: ${(error as Error).message.split("\n")[0]}`, error);
      throw failure ?? error;
    } finally {
      for (const filter of [...filters].reverse()) {
        const popped = device.popErrorScope().then(
          (error) => {
            const what = filter === "out-of-memory" ? "is out of memory" : "failed";
            if (error) fail(`the device ${what}: ${error.message.split("\n")[0]}`);
          },
          () => fail("the device was lost"),
        );
        checks.push(popped);
      }
    }
  }

  function alive(): void {
    // What was lost before it was disposed of is lost for all who wait.
    if (failure) throw failure;
    if (disposed) throw new Error("webgpu: the backend was disposed of; create another");
  }

  function bufferOf(descriptor: GPUBufferDescriptor): GPUBuffer {
    alive();
    const buffer = checked(() => device.createBuffer(descriptor));
    buffers.add(buffer);
    return buffer;
  }

  /** A buffer of given contents. */
  function filled(bytes: Uint8Array, usage: number): GPUBuffer {
    const buffer = bufferOf({ size: Math.ceil(bytes.length / 4) * 4, usage, mappedAtCreation: true });
    checked(() => {
      new Uint8Array(buffer.getMappedRange()).set(bytes);
      buffer.unmap();
    });
    return buffer;
  }

  function destroy(used: GPUBuffer | GPUTexture): void {
    buffers.delete(used as GPUBuffer);
    used.destroy();
  }

  function layoutOf({ reads, writes }: Shader): GPUBindGroupLayout {
    const [inputs, outputs] = [Object.keys(reads).length, Object.keys(writes).length];
    const key = `${inputs} ${outputs}`;
    let layout = layouts.get(key);
    if (!layout) {
      const type = (i: number) => (i === 0 ? "uniform" : i <= inputs ? "read-only-storage" : "storage");
      const entries = Array.from({ length: 1 + inputs + outputs }, (_, binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type: type(binding) } as const,
      }));
      layout = checked(() => device.createBindGroupLayout({ label: key, entries }));
      layouts.set(key, layout);
    }
    return layout;
  }

  function kernelOf(shader: Shader): Kernel {
    const known = kernels.get(shader.name);
    if (known) return known;
    const layout = layoutOf(shader);
    const kernel: Kernel = {
      layout,
      made: checked(() => {
        const module = device.createShaderModule({ label: shader.name, code: textOf(shader) });
        return device
          .createComputePipelineAsync({
            label: shader.name,
            layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
            compute: { module, entryPoint: "main" },
          })
          .then(
            (pipeline) => {
              kernel.pipeline = pipeline;
            },
            async (error) => {
              const info = await module.getCompilationInfo().catch(() => undefined);
              const { message } = info?.messages.find(({ type }) => type === "error") ?? error;
              fail(`"${shader.name}" does not compile: ${String(message).split("\n")[0]}`, error);
            },
          );
      }),
    };
    kernels.set(shader.name, kernel);
    return kernel;
  }

  function bindGroupOf(
    shader: Shader,
    { layout }: Kernel,
    storages: readonly Storage[],
    params: Readonly<Record<string, number>>,
  ): GPUBindGroup {
    const values = shader.params.map((field) => params[field.split(":")[0]!]!);
    const key = `${shader.name} ${storages.map(({ id }) => id)} ${values}`;
    const known = bindGroups.get(key);
    if (known) return known;
    const view = new DataView(new ArrayBuffer(Math.ceil(values.length / 4) * 16));
    for (const [i, value] of values.entries()) {
      if (shader.params[i]!.includes(":")) view.setFloat32(4 * i, value, true);
      else view.setUint32(4 * i, value, true);
    }
    const uniform = filled(new Uint8Array(view.buffer), USAGE.UNIFORM);
    const entries = [uniform, ...storages.map((storage) => storage.buffer)].map((buffer, binding) => ({
      binding,
      resource: { buffer },
    }));
    const bindGroup = checked(() => device.createBindGroup({ label: shader.name, layout, entries }));
    if (bindGroups.size >= MOST_GROUPS) {
      bindGroups.clear();
      garbage.push(...uniforms);
      uniforms = [];
    }
    uniforms.push(uniform);
    bindGroups.set(key, bindGroup);
    return bindGroup;
  }

  /** Hands over what is recorded. */
  function flush(): Promise<void> {
    const [batch, freed] = [commands, garbage];
    [commands, garbage] = [[], []];
    unsubmitted++;
    submitted = submitted.then(async () => {
      const kernels = new Set(batch.flatMap((command) => ("kernel" in command ? [command.kernel] : [])));
      const missing = [...kernels].filter(({ pipeline }) => !pipeline);
      if (missing.length > 0) await Promise.race([Promise.all(missing.map(({ made }) => made)), lost]);
      try {
        if (!failure && !disposed && batch.length > 0) checked(() => submit(batch));
      } catch {
        // It is kept as the failure, which whoever waits for a result is given.
      }
      for (const used of freed) destroy(used);
      unsubmitted--;
    });
    return submitted;
  }

  function submit(batch: readonly Command[]): void {
    const encoder = device.createCommandEncoder();
    let pass: GPUComputePassEncoder | undefined;
    for (const command of batch) {
      if ("kernel" in command) {
        pass ??= encoder.beginComputePass();
        pass.setPipeline(command.kernel.pipeline!);
        pass.setBindGroup(0, command.bindGroup);
        pass.dispatchWorkgroups(...(command.groups as [number, number, number]));
      } else {
        pass?.end();
        pass = undefined;
        if ("texture" in command) {
          const { texture, to, bytesPerRow } = command;
          encoder.copyTextureToBuffer({ texture }, { buffer: to, bytesPerRow }, [texture.width, texture.height]);
        } else {
          encoder.copyBufferToBuffer(command.from, 0, command.to, command.at, command.bytes);
        }
      }
    }
    pass?.end();
    device.queue.submit([encoder.finish()]);
  }

  return {
    get failure() {
      return failure;
    },
    allocate(bytes) {
      const usage = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;
      return { buffer: bufferOf({ size: bytes, usage }), id: ids++, bytes };
    },
    free({ buffer }) {
      garbage.push(buffer);
    },
    run(shader, storages, params, groups) {
      alive();
      const kernel = kernelOf(shader);
      commands.push({ kernel, bindGroup: bindGroupOf(shader, kernel, storages, params), groups });
    },
    write({ buffer }, at, bytes) {
      alive();
      if (commands.length === 0 && unsubmitted === 0) {
        checked(() => device.queue.writeBuffer(buffer, at, bytes as Uint8Array<ArrayBuffer>));
        return;
      }
      const from = filled(bytes, USAGE.COPY_SRC);
      commands.push({ from, to: buffer, at, bytes: bytes.length });
      garbage.push(from);
    },
    draw({ buffer }, image, size, bytesPerRow) {
      alive();
      const usage = TEXTURE_USAGE.COPY_SRC | TEXTURE_USAGE.COPY_DST | TEXTURE_USAGE.RENDER_ATTACHMENT;
      const texture = checked(() => device.createTexture({ size: [...size], format: "rgba8unorm", usage }));
      try {
        device.queue.copyExternalImageToTexture({ source: image as ImageBitmap }, { texture }, [...size]);
      } catch {
        texture.destroy();
        return false;
      }
      commands.push({ texture, to: buffer, bytesPerRow });
      garbage.push(texture);
      return true;
    },
    async read({ buffer }, bytes) {
      const to = bufferOf({ size: bytes, usage: USAGE.MAP_READ | USAGE.COPY_DST });
      commands.push({ from: buffer, to, at: 0, bytes });
      // What is recorded until the caller waits goes along.
      soon ??= Promise.resolve().then(() => {
        soon = undefined;
        return flush();
      });
      await soon;
      const mapped =
        failure || disposed ? "lost" : await Promise.race([to.mapAsync(MAP_MODE_READ), lost]).catch(String);
      const all = checks;
      checks = [];
      await Promise.all(all);
      alive();
      if (mapped) {
        fail(mapped === "lost" ? "the device was lost" : `the device failed: ${mapped}`);
        throw failure;
      }
      const result = checked(() => to.getMappedRange().slice(0));
      destroy(to);
      return result;
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      for (const buffer of buffers) buffer.destroy();
      device.destroy();
    },
  };
}

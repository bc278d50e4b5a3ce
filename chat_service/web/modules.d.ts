/** The vendored modules by the names that the import map gives them. They come without types. */

declare module "preact";
declare module "preact/hooks";
declare module "htm/preact";

declare module "@preact/signals" {
  export interface Signal<T = any> {
    value: T;
    peek(): T;
    subscribe(run: (value: T) => void): () => void;
  }
  export function signal<T>(value: T): Signal<T>;
  export function computed<T>(compute: () => T): Signal<T>;
  export function effect(run: () => unknown): () => void;
  export function batch<T>(run: () => T): T;
  export function untracked<T>(run: () => T): T;
  export function useSignal<T>(value: T): Signal<T>;
  export function useComputed<T>(compute: () => T): Signal<T>;
  export function useSignalEffect(run: () => unknown): void;
}

/** Attributes of the script element, as `dataset` has them: `apiUrl`, `consent`, `clicks`, ... */
export let options: DOMStringMap = {};

/** What has to be done when a page view begins, and before it ends. */
export const beginnings: (() => void)[] = [];
export const endings: (() => void)[] = [];

let debugging = false;

/** With `?ml_debug` in the address or `_ml_debug` in localStorage: tell the shop's developer what happens. */
export const tell = (...words: unknown[]): void => {
  try {
    if (debugging) console.log("ml", ...words);
  } catch {
    // a page without a console
  }
};

/** No failure of the tracker is the page's. */
export const safely =
  <A extends unknown[]>(work: (...given: A) => unknown) =>
  (...given: A): void => {
    try {
      work(...given);
    } catch (error) {
      tell(error);
    }
  };

/** `work` with each of `all`; where one fails, the others have theirs all the same. */
export const each = <T>(all: readonly T[], work: (one: T) => void): void => {
  for (const one of all) safely(work)(one);
};

/** Read the script element; it has to be asked for while it runs, and knows nothing later. */
export const readOptions = safely(() => {
  // In a bundle or a module there is no current script: the element may stand anywhere.
  const script = (document.currentScript || document.querySelector("script[data-api-url]")) as HTMLScriptElement | null;
  if (script) options = script.dataset;
  // The last one, as storage may be blocked.
  debugging = /[?&]ml_debug/.test(location.search) || localStorage._ml_debug;
});

/** Nobody sees the page. */
export const hidden = (): boolean => document.hidden;

/**
 * `work` at each of the events `names` (separated by blanks), before the page's own listeners can stop them: the way to
 * each, those of the document too, leads through the window.
 */
export const listen = (names: string, work: (event: any) => void): void =>
  each(names.split(" "), (name) => addEventListener(name, safely(work), true));

export const later = (work: () => unknown, wait = 0): ReturnType<typeof setTimeout> => setTimeout(safely(work), wait);

/** `work` once the page's code that runs now is done, even where the page is being left. */
export const soon = (work: () => void): void => queueMicrotask(safely(work));

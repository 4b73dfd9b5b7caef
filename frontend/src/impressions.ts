// Which products were really seen: at least half of the element, for a second, in a visible page.
import { beginnings, endings, hidden, later, listen, safely } from "./page";
import type { Data, Recorder } from "./types";

const SHARE = 0.5;
const LONG = 1000; // milliseconds
const MARKED = "[data-ml-product-id]";
const ITEMS = 50; // the most the server takes in one event

const id = (element: Element): string => (element as HTMLElement).dataset.mlProductId || "";
const block = (element: Element): HTMLElement | null => element.closest<HTMLElement>("[data-ml-rec-id]");

/** The one marked element of a page, where there is one: the page is about it. */
function alone(): Element | null {
  const marked = document.querySelectorAll(MARKED);
  return marked.length === 1 && !block(marked[0]!) ? marked[0]! : null;
}

/** The product this page is about: named by a meta element, or by the one element that is marked. */
export function pageProduct(): string | null {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="ml-product-id"]');
  const element = alone();
  return meta ? meta.content : element && id(element);
}

/** Place of an element in its list, from 1. */
function position(element: Element): number {
  const list = block(element);
  const all = [...(list || document).querySelectorAll(MARKED)].filter((one) => block(one) === list);
  return +(element as HTMLElement).dataset.mlPosition! || all.indexOf(element) + 1;
}

function recommended(element: Element, list: HTMLElement): Data {
  const { mlRecId, mlPlacement } = list.dataset;
  return { product_id: id(element), rec_id: mlRecId, placement: mlPlacement, position: position(element) };
}

export function watchImpressions(record: Recorder): void {
  let seen = new Set<string>();
  let items: Data[] = [];
  let looking = false;
  const timers = new WeakMap<Element, ReturnType<typeof setTimeout>>();

  const key = (element: Element): string => {
    const list = block(element) || (element as HTMLElement);
    return list.dataset.mlRecId + "|" + id(element);
  };

  const look = (element: Element): void => {
    timers.set(
      element,
      later(() => {
        if (hidden()) return look(element);
        observer.unobserve(element);
        if (seen.has(key(element)) || element === alone()) return;
        seen.add(key(element));
        const list = block(element);
        if (list) record("rec_impression", recommended(element, list));
        else if (items.push({ product_id: id(element), position: position(element) }) >= ITEMS) report();
        else if (items.length === 1) later(report, LONG);
      }, LONG),
    );
  };

  const report = (): void => {
    if (items.length) record("product_list_view", { items });
    items = [];
  };

  const observer = new IntersectionObserver(
    safely((entries: IntersectionObserverEntry[]) => {
      for (const { target, isIntersecting, intersectionRatio } of entries) {
        clearTimeout(timers.get(target));
        if (isIntersecting && intersectionRatio >= SHARE) look(target);
      }
    }),
    { threshold: SHARE },
  );
  const scan = (): void => {
    looking = false;
    document.querySelectorAll(MARKED).forEach((element) => seen.has(key(element)) || observer.observe(element));
  };
  // Lists that a script brings later: looked for at most twice a second.
  new MutationObserver(
    safely(() => {
      if (!looking) later(scan, 500);
      looking = true;
    }),
  ).observe(document, { childList: true, subtree: true });

  listen("click", (event: Event) => {
    const element = (event.target as Element).closest(MARKED);
    const list = element && block(element);
    if (list) record("rec_click", recommended(element!, list));
  });

  endings.push(report);
  beginnings.push(() => {
    seen = new Set();
    scan();
  });
}

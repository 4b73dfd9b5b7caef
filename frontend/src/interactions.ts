// Clicks on links and buttons, and forms in use: where they lead, what they are called, never text or values.
import { beginnings, listen, options } from "./page";
import type { Recorder } from "./types";

const FIELDS = "input:not([type=hidden]),select,textarea";
const CLICKABLE = "a,button,[role=button],[type=submit],[type=button]";

/** An attribute; the property of a form may be one of its fields instead. */
const attribute = (element: Element, name: string): string | undefined =>
  (element.getAttribute(name) || "").slice(0, 200) || undefined;

/** The path a link leads to; of another site only its name, of mail and telephone nothing. */
function path(link: HTMLAnchorElement): string | undefined {
  if (!/^http/.test(link.protocol)) return undefined;
  return link.host === location.host ? link.pathname : "//" + link.host;
}

export function watchClicks(record: Recorder): void {
  if (options.clicks === "off") return;
  listen("click", (event: Event) => {
    const element = (event.target as Element).closest(CLICKABLE);
    if (element) {
      record("click", {
        tag: element.localName,
        element_id: attribute(element, "id"),
        href: path(element as HTMLAnchorElement),
      });
    }
  });
}

/** One event when a form is first changed and one when it is sent, each once a page view. */
export function watchForms(record: Recorder): void {
  if (options.forms === "off") return;
  let known = new Set<string>();
  beginnings.push(() => (known = new Set()));
  listen("change submit", (event: Event) => {
    const form = (event.target as Element).closest("form");
    if (!form) return;
    const id = attribute(form, "id") || attribute(form, "name");
    const stage = event.type === "submit" ? "submit" : "start";
    if (known.has(stage + id)) return;
    known.add(stage + id);
    record("form_interaction", { form_id: id, fields: form.querySelectorAll(FIELDS).length, stage });
  });
}

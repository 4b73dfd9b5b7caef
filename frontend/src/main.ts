import { consent, keep, said } from "./consent";
import { watchEngagement } from "./engagement";
import { pageViewId, sessionId, uuid7 } from "./ids";
import { pageProduct, watchImpressions } from "./impressions";
import { watchClicks, watchForms } from "./interactions";
import { beginnings, each, endings, hidden, later, listen, options, readOptions, safely, tell } from "./page";
import { add, amend, back, drain, empty, flush, leave } from "./transport";
import type { Data, Recorder, Tracker, WireEvent } from "./types";
import { type EventType, known } from "./vocabulary";

/** A copy of this moment; throws for what cannot travel, before it could spoil a batch. */
const copy = (data: Data): Data => JSON.parse(JSON.stringify(data));

const address = (): string => location.pathname + location.search;

function start(): Tracker {
  readOptions();
  if (!options.apiUrl) options.apiUrl = "/api/ml/track/";
  let view = pageViewId();
  let url = address();
  let referrer = document.referrer;
  let viewed: Record<string, string> = {}; // product id -> event id, of this page view
  let opening = true; // the page's own events leave together, at once

  const record: Recorder = (type, data, now) => {
    const state = consent();
    const event: WireEvent = {
      event_id: uuid7(),
      event_type: type,
      timestamp: new Date().toISOString(),
      session_id: sessionId(state === "granted"),
      page_url: url,
      page_view_id: view,
      referrer: referrer || undefined,
      data: copy(data),
    };
    if (state !== "denied") {
      tell(type, event);
      add(event, !!now && !opening);
    }
    return event.event_id;
  };

  /** A product counts once a page view; what a second call adds completes the first while it waits. */
  const viewProduct = (data: Data): void => {
    const id = String(data.product_id);
    const first = viewed[id];
    if (first === undefined) viewed[id] = record("product_view", data);
    else amend(first, copy(data));
  };

  const open = (): void => {
    opening = true;
    each(beginnings, (work) => work());
    record("page_view", { title: document.title.slice(0, 200) });
    const product = pageProduct();
    if (product) viewProduct({ product_id: product });
    // After the page's own scripts had their turn to add to these events, and before a visitor can be gone.
    later(() => {
      opening = false;
      flush();
      drain();
    });
  };

  const end = (): void => each(endings, (work) => work());

  const ready = safely(() => {
    each([watchEngagement, watchClicks, watchForms, watchImpressions], (watch) => watch(record));
    if (document.readyState === "loading") listen(document, "DOMContentLoaded", open);
    else open();
  });

  const hide = (): void => {
    end();
    leave();
  };

  const restart = (): void => {
    view = uuid7();
    viewed = {};
  };

  /** Another page without a page load: the address changed. */
  const route = (): void => {
    if (address() === url) return;
    end();
    referrer = location.origin + url;
    url = address();
    restart();
    later(open); // the page had its turn to change its title
  };

  const method = (type: EventType) => safely((data: Data) => void record(type, { ...data }, type === "purchase"));

  // A page that is loaded ahead of time was not seen yet.
  if ((document as { prerendering?: boolean }).prerendering) listen(document, "prerenderingchange", ready);
  else ready();
  listen(window, "pagehide", hide);
  listen(document, "visibilitychange", () => (hidden() ? hide() : back()));
  listen(window, "online", () => back(true));
  listen(window, "pageshow", (event: PageTransitionEvent) => {
    if (!event.persisted) return;
    back();
    restart(); // the page came back without the server
    open();
  });
  listen(window, "popstate", route);
  each(["pushState", "replaceState"] as const, (name) => {
    const original = history[name];
    history[name] = function (this: History, ...given) {
      original.apply(this, given);
      safely(route)();
    };
  });

  return {
    trackProductView: safely((product) => viewProduct({ ...product })),
    trackAddToCart: method("cart_add"),
    trackRemoveFromCart: method("cart_remove"),
    trackCheckout: method("checkout_step"),
    trackPurchase: method("purchase"),
    trackSearch: method("search"),
    track: safely((name, data) => {
      if (name === "product_view") viewProduct({ ...data });
      else if (known(name)) method(name as EventType)(data!);
      else record("custom", { action: name, ...data });
    }),
    flush: safely(() => flush()),
    consent: safely((state) => {
      if ((state !== "granted" && state !== "denied") || state === said()) return;
      const told = consent() === "granted" || state === "granted";
      if (state === "granted") keep(state);
      else empty();
      if (told) record("consent_change", { state }, true);
      flush();
      if (state === "denied") {
        keep(state);
        flush(); // which now forgets
      }
    }),
  };
}

try {
  if (!window.BunoraaML) window.BunoraaML = start();
} catch (error) {
  // a page that cannot be tracked is still a page
}

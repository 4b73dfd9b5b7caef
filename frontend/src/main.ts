import { allowed, consent, keep, said } from "./consent";
import { watchEngagement } from "./engagement";
import { pageViewId, sessionId, uuid7 } from "./ids";
import { pageProduct, watchImpressions } from "./impressions";
import { watchClicks, watchForms } from "./interactions";
import { beginnings, each, endings, hidden, later, listen, options, readOptions, safely, tell } from "./page";
import { add, amend, back, drain, empty, flush, leave } from "./transport";
import type { Data, Recorder, Tracker, WireEvent } from "./types";
import { type EventType, known } from "./vocabulary";

/** A copy of this moment; throws for what cannot travel, before it could spoil a batch. */
const copy = (data?: Data): Data => JSON.parse(JSON.stringify({ ...data }));

const HOLD = 1000; // the page's own events wait for what its scripts add to them, milliseconds

const address = (): string => location.pathname + location.search;

function start(): Tracker {
  readOptions();
  options.apiUrl = options.apiUrl || "/api/ml/track/";
  let view = pageViewId();
  let url = address();
  let referrer = document.referrer;
  let viewed: Record<string, string> = {}; // product id -> event id, of this page view
  let routing = true; // the view has still to be recorded: an address that changes before that is its own

  const record: Recorder = (type, data) => {
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
      add(event, type === "purchase");
    }
    return event.event_id;
  };

  /** A product counts once a page view; what a second call adds completes the first while it waits. */
  const viewProduct = (data: Data): void => {
    const id = data.product_id as string;
    const first = viewed[id];
    if (first) amend(first, copy(data));
    else viewed[id] = record("product_view", data);
  };

  const open = (): void => {
    routing = false;
    each(beginnings, (work) => work());
    record("page_view", { title: document.title.slice(0, 200) });
    const product = options.productViews !== "off" && pageProduct();
    if (product) viewProduct({ product_id: product });
    later(drain); // before a visitor can be gone
    later(flush, HOLD);
  };

  const end = (): void => each(endings, (work) => work());

  const ready = safely(() => {
    each([watchEngagement, watchClicks, watchForms, watchImpressions], (watch) => watch(record));
    if (document.readyState === "loading") listen("DOMContentLoaded", open);
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
    if (!routing) {
      routing = true;
      end();
      referrer = location.origin + url;
      restart();
      // The page had its turn to change its title, and the address once more; it may have been left and shown again.
      later(() => routing && open());
    }
    url = address();
  };

  const method = (type: EventType) => safely((data: Data) => void record(type, data));

  // A page that is loaded ahead of time was not seen yet.
  if ((document as { prerendering?: boolean }).prerendering) listen("prerenderingchange", ready);
  else ready();
  listen("pagehide", hide);
  listen("visibilitychange", () => (hidden() ? hide() : back()));
  listen("online", back);
  listen("pageshow", (event: PageTransitionEvent) => {
    if (!event.persisted) return;
    back();
    restart(); // the page came back without the server
    open();
  });
  listen("popstate", route);
  each(["pushState", "replaceState"] as const, (name) => {
    const original = history[name];
    history[name] = function (this: History, ...given) {
      original.apply(this, given);
      safely(route)();
    };
  });

  return {
    trackProductView: safely(viewProduct),
    trackAddToCart: method("cart_add"),
    trackRemoveFromCart: method("cart_remove"),
    trackCheckout: method("checkout_step"),
    trackPurchase: method("purchase"),
    trackSearch: method("search"),
    track: safely((name, data) => {
      if (name === "product_view") viewProduct(data!);
      else if (known(name)) record(name as EventType, data);
      else record("custom", { action: name, ...data });
    }),
    flush: safely(flush),
    consent: safely((state) => {
      const granted = state === "granted";
      if ((!granted && state !== "denied") || state === said()) return;
      if (granted) keep(state);
      else empty();
      if (allowed()) record("consent_change", { state });
      flush();
      keep(state);
      flush(); // which now forgets what was denied
    }),
  };
}

try {
  if (!window.BunoraaML) window.BunoraaML = start();
} catch (error) {
  // a page that cannot be tracked is still a page
}

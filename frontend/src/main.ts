import { pageViewId, sessionId, uuid7 } from "./ids";
import { Transport } from "./transport";
import type { Data, Tracker, WireEvent } from "./types";
import { type EventType, known } from "./vocabulary";

const script = document.currentScript as HTMLScriptElement | null;

/** A copy of this moment; throws for what cannot travel, before it could spoil a batch. */
const copy = (data: Data): Data => JSON.parse(JSON.stringify(data));

function start(): Tracker {
  const transport = new Transport((script && script.dataset.apiUrl) || "/api/ml/track/");
  let view = pageViewId();
  let viewed: Record<string, string> = {}; // product id -> event id, of this page view
  let opening = true; // the page's own events leave together, at once

  const record = (type: EventType, data: Data, now = false): string => {
    const event: WireEvent = {
      event_id: uuid7(),
      event_type: type,
      timestamp: new Date().toISOString(),
      session_id: sessionId(),
      page_url: location.pathname + location.search,
      page_view_id: view,
      referrer: document.referrer || undefined,
      data: copy(data),
    };
    transport.add(event, now && !opening);
    return event.event_id;
  };

  /** A product counts once a page view; what a second call adds completes the first while it waits. */
  const viewProduct = (data: Data): void => {
    const id = String(data.product_id);
    const first = viewed[id];
    if (first === undefined) viewed[id] = record("product_view", data);
    else Object.assign((transport.find(first) || { data: {} }).data, copy(data));
  };

  /** The product this page is about: named by a meta element, or by one `data-ml-product-id`. */
  const pageProduct = (): string | null | undefined => {
    const meta = document.querySelector<HTMLMetaElement>('meta[name="ml-product-id"]');
    if (meta) return meta.content;
    const marked = document.querySelectorAll("[data-ml-product-id]");
    return marked.length === 1 ? marked[0]!.getAttribute("data-ml-product-id") : null;
  };

  const open = (): void => {
    opening = true;
    record("page_view", { title: document.title.slice(0, 200) });
    const product = pageProduct();
    if (product) viewProduct({ product_id: product });
    // After the page's own scripts had their turn to add to these events, and before a visitor can be gone.
    setTimeout(() => {
      opening = false;
      transport.flush();
    });
  };

  /** No failure of the tracker is the page's: it is told to whoever has the console open. */
  const safely =
    <A extends unknown[]>(work: (...given: A) => void) =>
    (...given: A): void => {
      try {
        work(...given);
      } catch (error) {
        console.debug("ml-tracking", error);
      }
    };

  const method = (type: EventType, now = false) => safely((data: Data) => void record(type, { ...data }, now));

  const ready = safely(() => {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", safely(open));
    else open();
  });
  // A page that is loaded ahead of time was not seen yet.
  if ((document as { prerendering?: boolean }).prerendering) document.addEventListener("prerenderingchange", ready);
  else ready();

  const leave = safely(() => transport.flush(true));
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && leave());
  addEventListener(
    "pageshow",
    safely((event: PageTransitionEvent) => {
      if (!event.persisted) return;
      view = uuid7(); // the page came back without the server
      viewed = {};
      open();
    }),
  );

  return {
    trackProductView: safely((product) => viewProduct({ ...product })),
    trackAddToCart: method("cart_add"),
    trackRemoveFromCart: method("cart_remove"),
    trackCheckout: method("checkout_step"),
    trackPurchase: method("purchase", true),
    trackSearch: method("search"),
    track: safely((name, data) => {
      if (name === "product_view") viewProduct({ ...data });
      else if (known(name)) record(name as EventType, { ...data }, name === "purchase");
      else record("custom", { action: name, ...data });
    }),
    flush: safely(() => transport.flush()),
  };
}

if (!window.BunoraaML) {
  try {
    window.BunoraaML = start();
  } catch (error) {
    console.debug("ml-tracking", error);
  }
}

// The built tracker in a page made of stand-ins; a real browser is driven from tests/api/test_browser.py.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const code = readFileSync(new URL("../../src/ml_models/static/js/ml-tracking.js", import.meta.url), "utf8");
const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A page with the tracker loaded. `tick(ms)` lets time pass. */
function page({ product, marked = [], timing, answers = [], fetch, storage = new Map(), beacon = true } = {}) {
  const posts = [];
  const beacons = [];
  const listeners = {};
  const timers = [];
  let clock = 0;
  const listen = (name, work) => (listeners[name] ??= []).push(work);
  const document = {
    currentScript: { dataset: { apiUrl: "/api/ml/track/" } },
    readyState: "complete",
    visibilityState: "visible",
    referrer: "https://search.example/",
    title: "Shop",
    addEventListener: listen,
    querySelector: () => (product === undefined ? null : { content: product }),
    querySelectorAll: () => marked.map((id) => ({ getAttribute: () => id })),
  };
  const window = {
    document,
    location: { pathname: "/p/1/", search: "?x=1" },
    performance: { getEntriesByType: () => (timing ? [{ serverTiming: [{ name: "ml", description: timing }] }] : []) },
    localStorage: {
      getItem: (key) => storage.get(key) ?? null,
      setItem: (key, value) => storage.set(key, value),
    },
    navigator: { sendBeacon: (url, body) => (beacons.push(JSON.parse(body)), beacon) },
    crypto: globalThis.crypto,
    console: { debug() {} },
    Blob,
    addEventListener: listen,
    setTimeout: (work, wait = 0) => (timers.push({ at: clock + wait, work }), timers.length),
    clearTimeout: (id) => id && (timers[id - 1].work = () => {}),
    fetch:
      fetch ??
      ((url, options) => {
        posts.push({ url, ...options, body: JSON.parse(options.body) });
        const status = answers.shift() ?? 200;
        return Promise.resolve({ status, headers: { get: () => null }, text: async () => "" });
      }),
  };
  window.window = window;
  vm.runInNewContext(code, window);
  const settle = () => new Promise((done) => setImmediate(done));
  return {
    api: window.BunoraaML,
    window,
    posts,
    beacons,
    storage,
    emit: (name, event = {}) => (listeners[name] ?? []).forEach((work) => work(event)),
    events: () => posts.flatMap((post) => post.body.events),
    types: () => posts.flatMap((post) => post.body.events.map((event) => event.event_type)),
    async tick(milliseconds) {
      clock += milliseconds;
      for (const timer of timers) {
        if (timer.at <= clock) {
          const work = timer.work;
          timer.work = () => {};
          work();
        }
      }
      await settle();
    },
  };
}

test("a page and its product are viewed once each, in one request, at once", async () => {
  const shop = page({ product: "123", timing: "the-servers-id" });
  await shop.tick(0);
  assert.equal(shop.posts.length, 1);
  const [post] = shop.posts;
  assert.equal(post.url, "/api/ml/track/");
  assert.equal(post.method, "POST");
  assert.equal(post.keepalive, true);
  assert.equal(post.credentials, "same-origin");
  const [view, product] = post.body.events;
  assert.equal(view.event_type, "page_view");
  assert.equal(product.event_type, "product_view");
  assert.equal(product.data.product_id, "123");
  for (const event of [view, product]) {
    assert.match(event.event_id, UUID7);
    assert.equal(event.page_view_id, "the-servers-id");
    assert.equal(event.page_url, "/p/1/?x=1");
    assert.equal(event.referrer, "https://search.example/");
    assert.ok(event.session_id);
    assert.ok(!Number.isNaN(Date.parse(event.timestamp)));
  }
  assert.ok(!Number.isNaN(Date.parse(post.body.meta.sent_at)));
  assert.ok(post.body.meta.batch_id);
});

test("without the server's id the page view has one of its own", async () => {
  const shop = page();
  await shop.tick(0);
  assert.match(shop.events()[0].page_view_id, UUID7);
});

test("one marked element is the page's product, several are a list", async () => {
  const one = page({ marked: ["7"] });
  await one.tick(0);
  assert.deepEqual(one.types(), ["page_view", "product_view"]);
  const several = page({ marked: ["7", "8"] });
  await several.tick(0);
  assert.deepEqual(several.types(), ["page_view"]);
});

test("the guide's methods post the guide's fields", async () => {
  const shop = page();
  await shop.tick(0);
  shop.api.trackProductView({ product_id: "123", product_name: "Blue Running Shoes", price: 99.99, position: 5 });
  shop.api.trackAddToCart({ product_id: "123", price: 99.99, quantity: 2, variant: "blue", size: "42" });
  shop.api.trackRemoveFromCart({ product_id: "123", quantity: 1 });
  shop.api.trackCheckout({ step: 1, step_name: "shipping", cart_value: 199.98, items_count: 2 });
  shop.api.trackSearch({ query: "blue shoes", results_count: 25, filters: { color: "blue" }, sort_by: "relevance" });
  shop.api.track("video_play", { video_id: "456", duration: 120 });
  shop.api.track("wishlist_add", { product_id: "9" });
  shop.api.track("add_to_cart", { product_id: "9" });
  await shop.tick(5000);
  const events = shop.events().slice(1);
  assert.deepEqual(
    events.map((event) => event.event_type),
    ["product_view", "cart_add", "cart_remove", "checkout_step", "search", "custom", "wishlist_add", "add_to_cart"],
  );
  assert.deepEqual(events[1].data, { product_id: "123", price: 99.99, quantity: 2, variant: "blue", size: "42" });
  assert.deepEqual(events[5].data, { action: "video_play", video_id: "456", duration: 120 });
});

test("a purchase does not wait", async () => {
  const shop = page();
  await shop.tick(0);
  shop.api.trackPurchase({ order_id: "ORD-12345", order_value: 199.98, items_count: 2, coupon: "SAVE10" });
  assert.deepEqual(shop.types(), ["page_view", "purchase"]);
});

test("others wait for ten or five seconds", async () => {
  const shop = page();
  await shop.tick(0);
  shop.api.track("click", {});
  await shop.tick(4999);
  assert.equal(shop.posts.length, 1);
  await shop.tick(1);
  assert.equal(shop.posts.length, 2);
  for (let count = 0; count < 10; count++) shop.api.track("click", { count });
  assert.equal(shop.posts.length, 3);
  assert.equal(shop.posts[2].body.events.length, 10);
});

test("a product viewed by script and by page counts once and keeps what the script adds", async () => {
  const shop = page({ product: "123" });
  shop.api.trackProductView({ product_id: 123, product_name: "Shoes" });
  await shop.tick(0);
  shop.api.trackProductView({ product_id: "123" });
  shop.api.trackProductView({ product_id: "124" });
  await shop.tick(5000);
  const views = shop.events().filter((event) => event.event_type === "product_view");
  assert.deepEqual(
    views.map((event) => event.data.product_id),
    [123, "124"],
  );
  assert.equal(views[0].data.product_name, "Shoes");
});

test("leaving the page sends what waits, by beacon where fetch fails", async () => {
  const shop = page();
  await shop.tick(0);
  shop.api.track("click", {});
  shop.emit("pagehide");
  assert.deepEqual(shop.types(), ["page_view", "click"]);
  shop.emit("pagehide");
  assert.equal(shop.posts.length, 2, "nothing waits any more");

  const cut = page({ fetch: () => { throw new TypeError("gone"); } });
  cut.api.track("click", {});
  cut.emit("pagehide");
  assert.equal(cut.beacons.length, 1);
  assert.deepEqual(cut.beacons[0].events.map((event) => event.event_type), ["page_view", "click"]);
});

test("what the server cannot take is sent again with the same ids", async () => {
  for (const answer of [503, 429]) {
    const shop = page({ answers: [answer] });
    await shop.tick(0);
    await shop.tick(5000);
    assert.equal(shop.posts.length, 2);
    const [first, second] = shop.events();
    assert.equal(first.event_id, second.event_id);
  }
  const refused = page({ answers: [400] });
  await refused.tick(0);
  await refused.tick(60000);
  assert.equal(refused.posts.length, 1, "what is wrong stays wrong");
});

test("a network that fails loses nothing while the page lives", async () => {
  let broken = true;
  const seen = [];
  const shop = page({
    fetch: (url, options) => {
      if (broken) return Promise.reject(new TypeError("offline"));
      seen.push(...JSON.parse(options.body).events);
      return Promise.resolve({ status: 200, headers: { get: () => null }, text: async () => "" });
    },
  });
  await shop.tick(0);
  broken = false;
  await shop.tick(5000);
  assert.deepEqual(seen.map((event) => event.event_type), ["page_view"]);
});

test("a fetch that throws at once is tried again later and does not hold the page up", async () => {
  let calls = 0;
  const shop = page({ fetch: () => { calls++; throw new TypeError("blocked"); } });
  await shop.tick(0);
  assert.equal(calls, 1);
  await shop.tick(5000);
  assert.equal(calls, 2);
});

test("a page from the back-forward cache is viewed again under a new id", async () => {
  const shop = page({ timing: "first", product: "1" });
  await shop.tick(0);
  shop.emit("pageshow", { persisted: false });
  shop.emit("pageshow", { persisted: true });
  await shop.tick(0);
  assert.deepEqual(shop.types(), ["page_view", "product_view", "page_view", "product_view"]);
  assert.match(shop.events()[2].page_view_id, UUID7);
});

test("tabs share a session, storage that refuses does not matter", async () => {
  const storage = new Map();
  const [first, second] = [page({ storage }), page({ storage })];
  await first.tick(0);
  await second.tick(0);
  assert.equal(first.events()[0].session_id, second.events()[0].session_id);
  const refusing = { get() { throw new Error("denied"); }, set() { throw new Error("denied"); } };
  const blocked = page({ storage: refusing });
  await blocked.tick(0);
  blocked.api.track("click", {});
  await blocked.tick(5000);
  assert.equal(new Set(blocked.events().map((event) => event.session_id)).size, 1);
});

test("nothing is thrown into the page", async () => {
  const circular = {};
  circular.self = circular;
  const shop = page();
  for (const method of Object.keys(shop.api)) {
    for (const given of [undefined, null, 5, "text", circular]) shop.api[method](given, circular);
  }
  shop.api.track("click", { after: true });
  await shop.tick(5000);
  shop.emit("pagehide");
  assert.ok(shop.events().some((event) => event.data.after), "what cannot travel costs only itself");
});

test("loaded twice it counts once", async () => {
  const shop = page();
  vm.runInNewContext(code, shop.window);
  await shop.tick(0);
  assert.deepEqual(shop.types(), ["page_view"]);
});

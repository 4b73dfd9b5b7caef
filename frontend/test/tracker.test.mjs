// The interface and the page's own events.
import assert from "node:assert/strict";
import { test } from "node:test";
import vm from "node:vm";
import { answer, browser, code, element, page, UUID7 } from "./page.mjs";

const product = (id) => element("div", { "data-ml-product-id": id });

test("a page and its product are viewed once each, in one request", async () => {
  const shop = page({ product: "123", timing: "the-servers-id" });
  await shop.tick(1000);
  assert.equal(shop.posts.length, 1);
  const [post] = shop.posts;
  assert.equal(post.url, "/api/ml/track/");
  assert.equal(post.method, "POST");
  assert.equal(post.keepalive, true);
  assert.equal(post.credentials, "include", "of an endpoint on another origin too");
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
  await shop.tick(1000);
  assert.match(shop.events()[0].page_view_id, UUID7);
});

test("one marked element is the page's product, several are a list", async () => {
  const one = page({ marked: [product("7")] });
  await one.tick(1000);
  assert.deepEqual(one.types(), ["page_view", "product_view"]);
  const several = page({ marked: [product("7"), product("8")] });
  await several.tick(1000);
  assert.deepEqual(several.types(), ["page_view"]);
});

test("the guide's methods post the guide's fields", async () => {
  const shop = page();
  await shop.tick(1000);
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
  await shop.tick(1000);
  shop.api.trackPurchase({ order_id: "ORD-12345", order_value: 199.98, items_count: 2, coupon: "SAVE10" });
  assert.deepEqual(shop.types(), ["page_view", "purchase"]);
});

test("others wait for ten or five seconds", async () => {
  const shop = page();
  await shop.tick(1000);
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
  await shop.tick(1000);
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

test("what a script adds to the page's own product view a moment later goes with it", async () => {
  const shop = page({ product: "123" });
  await shop.tick(0);
  const stored = (await shop.queued()).map((one) => one.event.event_type);
  assert.deepEqual(stored.sort(), ["page_view", "product_view"], "it is safe at once");
  await shop.tick(900);
  shop.api.trackProductView({ product_id: "123", price: 99.99, category: "shoes" });
  await shop.tick(100);
  assert.deepEqual(shop.of("product_view").map((event) => event.data), [
    { product_id: "123", price: 99.99, category: "shoes" },
  ]);
  const brief = page({ product: "123" });
  await brief.tick(0);
  brief.emit("pagehide");
  assert.ok(brief.types().includes("product_view"), "a page that is left sooner sends it as it goes");
});

test("a purchase of a page that was just opened does not wait for it", async () => {
  const shop = page();
  shop.api.trackPurchase({ order_id: "1" });
  assert.deepEqual(shop.posts.map((post) => post.body.events.length), [2]);
});

test("the page's own product view can be switched off, a script's cannot", async () => {
  const shop = page({ product: "123", data: { productViews: "off" } });
  await shop.tick(1000);
  assert.deepEqual(shop.types(), ["page_view"]);
  shop.api.trackProductView({ product_id: "123" });
  shop.api.flush();
  assert.deepEqual(shop.types(), ["page_view", "product_view"]);
});

test("a clock that is set back by months ends the session, by a minute it does not", async () => {
  for (const [back, sessions] of [[60000, 1], [90 * 86400000, 2]]) {
    const shop = page();
    await shop.tick(1000);
    shop.within.shift = -back;
    shop.api.track("click", {});
    shop.api.flush();
    assert.equal(new Set(shop.events().map((event) => event.session_id)).size, sessions, back);
  }
});

test("a page from the back-forward cache is viewed again under a new id", async () => {
  const shop = page({ timing: "first", product: "1" });
  await shop.tick(1000);
  shop.emit("pageshow", { persisted: false });
  shop.emit("pageshow", { persisted: true });
  await shop.tick(1000);
  assert.deepEqual(shop.types(), ["page_view", "product_view", "page_view", "product_view"]);
  assert.match(shop.events()[2].page_view_id, UUID7);
});

test("tabs share a session, storage that refuses does not matter", async () => {
  const within = browser();
  const [first, second] = [page({ within }), page({ within })];
  await first.tick(1000);
  await second.tick(1000);
  assert.equal(first.events()[0].session_id, second.events()[0].session_id);
  const refuse = () => { throw new Error("denied"); };
  const blocked = page({ more: { localStorage: { getItem: refuse, setItem: refuse } } });
  await blocked.tick(1000);
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
  vm.runInContext(code, shop.window);
  await shop.tick(1000);
  assert.deepEqual(shop.types(), ["page_view"]);
});

test("it works from a bundle, where there is no current script", async () => {
  const script = { dataset: { apiUrl: "/shop/ml/track/" } };
  const seen = [];
  const shop = page({
    more: { fetch: (url) => (seen.push(url), Promise.resolve(answer())) },
    data: { apiUrl: undefined },
  });
  await shop.tick(1000);
  assert.deepEqual(seen, ["/api/ml/track/"]);
  shop.window.BunoraaML = undefined;
  shop.document.currentScript = null;
  shop.document.querySelector = (selector) => (selector === "script[data-api-url]" ? script : null);
  vm.runInContext(code, shop.window);
  await shop.tick(1000);
  assert.deepEqual(seen.slice(1), ["/shop/ml/track/"]);
});

test("a page that is loaded ahead of time is viewed when it is shown", async () => {
  const shop = page({ more: {} });
  const ahead = page({ within: browser() });
  await shop.tick(1000);
  assert.equal(shop.of("page_view").length, 1);
  ahead.document.prerendering = true;
  ahead.window.BunoraaML = undefined;
  ahead.document.currentScript = { dataset: { apiUrl: "/ahead/" } };
  vm.runInContext(code, ahead.window);
  await ahead.tick(1000);
  assert.equal(ahead.posts.filter((post) => post.url === "/ahead/").length, 0);
  ahead.emit("prerenderingchange");
  await ahead.tick(1000);
  assert.equal(ahead.posts.filter((post) => post.url === "/ahead/").length, 1);
});

test("?ml_debug tells the developer each event and what became of each request", async () => {
  const quiet = page();
  await quiet.tick(1000);
  assert.deepEqual(quiet.lines, []);
  const within = browser();
  const loud = page({ within, search: "?ml_debug", answers: [503] });
  await loud.tick(1000);
  const words = loud.lines.map((line) => line.slice(0, 2).join(" "));
  assert.ok(words.includes("ml page_view"), words);
  assert.ok(loud.lines.some((line) => line[1] === "request" && line[2] === 503), words);
  assert.ok(words.includes("ml waits"), words);
  within.storage.set("_ml_debug", "1");
  const stored = page({ within });
  await stored.tick(1000);
  assert.ok(stored.lines.length > 0);
});

test("the meta element of a user is not read", async () => {
  const asked = [];
  const shop = page();
  shop.document.querySelector = (selector) => (asked.push(selector), null);
  await shop.tick(1000);
  shop.api.track("click", {});
  shop.emit("pagehide");
  assert.ok(!asked.some((selector) => selector.includes("user-id")));
  assert.ok(shop.events().every((event) => !("user_id" in event)));
});

test("an address that changes before the page was viewed is the page's own", async () => {
  for (const later of ["DOMContentLoaded", "prerenderingchange"]) {
    const shop = page();
    await shop.tick(1000);
    shop.window.BunoraaML = undefined;
    shop.document.currentScript = { dataset: { apiUrl: "/early/", engagement: "off" } };
    shop.window.history = { pushState: shop.window.history.pushState, replaceState: shop.window.history.replaceState };
    if (later === "DOMContentLoaded") shop.document.readyState = "loading";
    else shop.document.prerendering = true;
    const before = shop.listeners[later]?.length ?? 0;
    vm.runInContext(code, shop.window);
    shop.window.history.replaceState(null, "", "/p/1/clean/");
    await shop.tick(0);
    shop.document.readyState = "complete";
    shop.listeners[later].slice(before).forEach((work) => work({}));
    await shop.tick(1000);
    const views = shop.posts.filter((post) => post.url === "/early/").flatMap((post) => post.body.events);
    assert.deepEqual(views.map((event) => [event.event_type, event.page_url]), [["page_view", "/p/1/clean/"]], later);
  }
});

test("a page that is left right after its address changed and comes back is viewed once", async () => {
  const shop = page({ data: { engagement: "off" } });
  await shop.tick(1000);
  shop.window.history.pushState(null, "", "/p/2/");
  shop.emit("pagehide");
  shop.emit("pageshow", { persisted: true });
  await shop.tick(1000);
  assert.deepEqual(shop.of("page_view").map((event) => event.page_url), ["/p/1/?x=1", "/p/2/"]);
});

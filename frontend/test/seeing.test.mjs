// What a visitor sees and does: engagement, impressions, clicks, forms, pages without a load.
import assert from "node:assert/strict";
import { test } from "node:test";
import { element, page } from "./page.mjs";

const data = (shop, type) => shop.of(type).map((event) => event.data);

// -- engagement -------------------------------------------------------------------------------------

test("engaged time is visible, focused and touched within half a minute; depth is what came into view", async () => {
  const shop = page();
  await shop.tick(1000);
  await shop.tick(20000); // counts: the page was just opened
  shop.emit("pointermove");
  await shop.tick(50000); // 30 of them count
  shop.emit("keydown");
  shop.document.focused = false;
  await shop.tick(5000); // counts: the focus is lost after it
  shop.emit("blur");
  await shop.tick(10000);
  shop.document.focused = true;
  shop.emit("focus");
  shop.window.scrollY = 700;
  shop.emit("scroll");
  await shop.tick(1000);
  shop.window.scrollY = 0;
  shop.emit("scroll");
  shop.emit("pagehide");
  assert.deepEqual(data(shop, "page_engagement"), [{ engaged_ms: 57000, scroll_pct: 60 }]);
});

test("a page that was left and comes back tells the sum, and nothing where nothing was added", async () => {
  const shop = page();
  await shop.tick(4000);
  shop.show(false);
  shop.emit("pagehide");
  assert.deepEqual(data(shop, "page_engagement"), [{ engaged_ms: 4000, scroll_pct: 25 }]);
  await shop.tick(60000); // hidden: does not count
  shop.show(true);
  shop.emit("pointermove");
  await shop.tick(3000);
  shop.show(false);
  await shop.tick(1000);
  const both = shop.of("page_engagement");
  assert.deepEqual(both.map((event) => event.data.engaged_ms), [4000, 7000]);
  assert.equal(both[0].page_view_id, both[1].page_view_id);
  assert.notEqual(both[0].event_id, both[1].event_id);
});

// -- pages without a load ---------------------------------------------------------------------------

test("a new address is a new page view, whichever way it comes", async () => {
  const shop = page();
  await shop.tick(1000);
  shop.window.history.pushState(null, "", "/p/2/");
  shop.document.title = "Second";
  await shop.tick(1000);
  shop.window.history.replaceState(null, "", "/p/2/#part");
  await shop.tick(1000);
  shop.window.location.pathname = "/p/1/";
  shop.emit("popstate");
  await shop.tick(1000);
  await shop.tick(1000);
  const views = shop.of("page_view");
  assert.deepEqual(views.map((event) => event.page_url), ["/p/1/?x=1", "/p/2/", "/p/1/"]);
  assert.equal(new Set(views.map((event) => event.page_view_id)).size, 3);
  assert.equal(views[1].data.title, "Second");
  assert.equal(views[1].referrer, "https://shop.example/p/1/?x=1");
  const left = shop.of("page_engagement");
  assert.deepEqual(left.map((event) => event.page_url), ["/p/1/?x=1", "/p/2/"]);
  assert.deepEqual(left.map((event) => event.page_view_id), [views[0].page_view_id, views[1].page_view_id]);
});

test("an address that is set and corrected in one turn is one page view, of the last", async () => {
  const shop = page();
  await shop.tick(1000);
  const { history } = shop.window;
  history.pushState(null, "", "/p/2/");
  shop.api.trackProductView({ product_id: "2" });
  history.replaceState(null, "", "/p/2/?page=1");
  await shop.tick(1000);
  history.pushState(null, "", "/p/3/");
  await shop.tick(1000);
  shop.emit("pagehide");
  const views = shop.of("page_view");
  assert.deepEqual(views.map((event) => event.page_url), ["/p/1/?x=1", "/p/2/?page=1", "/p/3/"]);
  assert.deepEqual(views.slice(1).map((event) => event.referrer), ["https://shop.example/p/1/?x=1", "https://shop.example/p/2/?page=1"]);
  assert.equal(shop.of("product_view")[0].page_view_id, views[1].page_view_id, "what comes between is the new page's");
});

// -- impressions ------------------------------------------------------------------------------------

const list = (count, attributes = {}, inside) =>
  Array.from({ length: count }, (_, n) => element("li", { "data-ml-product-id": `p${n + 1}`, ...attributes }, { inside }));

test("products of a list that were half in view for a second are one event with their positions", async () => {
  const marked = list(4);
  const shop = page({ marked });
  await shop.tick(1000);
  shop.see(0.5, marked[1], marked[2]);
  shop.see(0.4, marked[0]);
  await shop.tick(500);
  shop.see(0, marked[2]); // gone too early
  await shop.tick(500);
  await shop.tick(1000);
  shop.api.flush();
  assert.deepEqual(data(shop, "product_list_view"), [{ items: [{ product_id: "p2", position: 2 }] }]);
  assert.ok(!shop.watched().has(marked[1]), "seen once");
  shop.see(1, marked[3]);
  await shop.tick(1000);
  shop.emit("pagehide");
  assert.deepEqual(data(shop, "product_list_view")[1], { items: [{ product_id: "p4", position: 4 }] });
});

test("elements that a list throws away are not held", async () => {
  const held = [];
  const Watched = class extends Map {
    set(key, value) {
      held.push(key);
      return super.set(key, value);
    }
  };
  const marked = list(2);
  const shop = page({ marked, more: { Map: Watched } });
  await shop.tick(1000);
  shop.see(1, ...marked);
  await shop.tick(1000);
  await shop.tick(1000);
  shop.emit("pagehide");
  assert.equal(data(shop, "product_list_view")[0].items.length, 2);
  assert.deepEqual(held, []);
});

test("a hidden page is not seen", async () => {
  const marked = list(2);
  const shop = page({ marked });
  await shop.tick(1000);
  shop.see(1, ...marked);
  shop.show(false);
  await shop.tick(60000);
  shop.emit("pagehide");
  assert.deepEqual(data(shop, "product_list_view"), []);
});

test("the one product of a page is no list", async () => {
  const marked = list(1);
  const shop = page({ marked });
  await shop.tick(1000);
  shop.see(1, marked[0]);
  await shop.tick(3000);
  shop.emit("pagehide");
  assert.deepEqual(data(shop, "product_list_view"), []);
  assert.equal(shop.of("product_view").length, 1);
});

test("recommended products are seen and clicked with their list, placement and position", async () => {
  const block = element("section", { "data-ml-rec-id": "r-1", "data-ml-placement": "home" });
  const marked = list(3, {}, block);
  block.querySelectorAll = () => marked;
  const link = element("a", { id: "x" }, { inside: marked[2], protocol: "https:", host: "shop.example", pathname: "/p/3/" });
  const shop = page({ marked });
  await shop.tick(1000);
  shop.see(1, marked[0]);
  await shop.tick(1000);
  shop.emit("click", { target: link });
  await shop.tick(5000);
  const told = { rec_id: "r-1", placement: "home" };
  assert.deepEqual(data(shop, "rec_impression"), [{ product_id: "p1", ...told, position: 1 }]);
  assert.deepEqual(data(shop, "rec_click"), [{ product_id: "p3", ...told, position: 3 }]);
  assert.deepEqual(data(shop, "product_list_view"), []);
});

test("a list that a script brings later is looked at too", async () => {
  const marked = list(2);
  const shop = page();
  await shop.tick(1000);
  assert.equal(shop.watched().size, 0);
  shop.document.querySelectorAll = () => marked;
  shop.window.mutated();
  await shop.tick(500);
  assert.equal(shop.watched().size, 2);
});

test("an event has at most fifty products", async () => {
  const marked = list(120);
  const shop = page({ marked });
  await shop.tick(1000);
  shop.see(1, ...marked);
  await shop.tick(1000);
  await shop.tick(1000);
  shop.emit("pagehide");
  assert.deepEqual(data(shop, "product_list_view").map((one) => one.items.length), [50, 50, 20]);
});

// -- clicks and forms -------------------------------------------------------------------------------

const anchor = (attributes, address) => {
  const { protocol, host, pathname } = new URL(address);
  return element("a", attributes, { protocol, host, pathname, textContent: "secret text" });
};

test("a click tells where the link leads and its id, never text, query or an address of a person", async () => {
  const shop = page();
  await shop.tick(1000);
  shop.emit("click", { target: element("span", {}, { inside: anchor({ id: "buy" }, "https://shop.example/cart/?token=1#x") }) });
  shop.emit("click", { target: anchor({}, "https://other.example/private/path") });
  shop.emit("click", { target: anchor({}, "mailto:ann@example.com") });
  shop.emit("click", { target: anchor({}, "tel:+491234") });
  shop.emit("click", { target: element("button", { id: "go", value: "secret value" }) });
  shop.emit("click", { target: element("div", { id: "nothing" }) });
  await shop.tick(5000);
  assert.deepEqual(data(shop, "click"), [
    { tag: "a", element_id: "buy", href: "/cart/" },
    { tag: "a", href: "//other.example" },
    { tag: "a" },
    { tag: "a" },
    { tag: "button", element_id: "go" },
  ]);
  assert.ok(!JSON.stringify(shop.posts).includes("secret"));
});

test("a form tells its name and how many fields it has, when it is begun and when it is sent", async () => {
  const form = element("form", { id: "checkout" }, { querySelectorAll: () => [1, 2, 3], id: "a field called id" });
  const field = element("input", { name: "email", value: "ann@example.com" }, { inside: form, value: "ann@example.com" });
  const shop = page();
  await shop.tick(1000);
  shop.emit("change", { target: field });
  shop.emit("change", { target: field });
  shop.emit("submit", { target: form });
  await shop.tick(5000);
  assert.deepEqual(data(shop, "form_interaction"), [
    { form_id: "checkout", fields: 3, stage: "start" },
    { form_id: "checkout", fields: 3, stage: "submit" },
  ]);
  assert.ok(!JSON.stringify(shop.posts).includes("ann@"));
});

test("each of them can be switched off", async () => {
  const shop = page({ data: { clicks: "off", forms: "off", engagement: "off" } });
  await shop.tick(1000);
  const form = element("form", { id: "f" }, { querySelectorAll: () => [] });
  shop.emit("click", { target: anchor({}, "https://shop.example/") });
  shop.emit("submit", { target: form });
  shop.emit("pagehide");
  await shop.tick(5000);
  assert.deepEqual(shop.types(), ["page_view"]);
});

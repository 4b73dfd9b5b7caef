// Nothing before consent, nothing after it was taken back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, browser, element, page } from "./page.mjs";

const untouched = async (shop) => {
  assert.deepEqual(await shop.within.indexedDB.databases(), []);
  assert.equal(shop.posts.length, 0);
  assert.equal(shop.beacons.length, 0);
  assert.equal(shop.within.storage.size, 0);
  assert.equal(shop.within.cookies.size, 0);
};

/** A visit with everything in it. */
async function visit(shop) {
  await shop.tick(1000);
  shop.api.trackProductView({ product_id: "1" });
  shop.api.trackPurchase({ order_id: "1" });
  for (let n = 0; n < 30; n++) shop.api.track("click", { n });
  await shop.tick(60000);
  shop.show(false);
  shop.show(true);
  shop.emit("pagehide");
  await shop.tick(1000);
}

test("where consent is required nothing is sent and nothing is stored before it", async () => {
  const shop = page({ data: { consent: "required" } });
  await visit(shop);
  await untouched(shop);
});

test("consent lets out what waited in memory, as it was", async () => {
  const shop = page({ product: "7", data: { consent: "required" } });
  await shop.tick(1000);
  shop.api.trackAddToCart({ product_id: "7" });
  await shop.tick(20000);
  await untouched(shop);
  shop.api.consent("granted");
  await shop.tick(1000);
  assert.deepEqual(shop.types(), ["page_view", "product_view", "cart_add", "consent_change"]);
  assert.equal(new Set(shop.events().map((event) => event.session_id)).size, 1);
  const [first] = shop.events();
  assert.equal(Date.parse(first.timestamp), Date.UTC(2026, 0, 5, 12), "the time it happened");
  const cookie = shop.within.cookies.get("_ml_consent");
  assert.equal(cookie, "granted;path=/;max-age=34128000;samesite=lax;secure");
  const next = page({ within: shop.within, data: { consent: "required" } });
  await next.tick(1000);
  assert.deepEqual(next.types(), ["page_view"], "remembered");
});

test("what waits for consent is bounded", async () => {
  const shop = page({ data: { consent: "required" } });
  await shop.tick(1000);
  for (let n = 0; n < 1000; n++) shop.api.track("click", { n });
  shop.api.consent("granted");
  for (let step = 0; step < 5; step++) await shop.tick(5000);
  assert.ok(shop.events().length <= 201, `${shop.events().length}`);
});

test("a page left before consent leaves nothing behind", async () => {
  const shop = page({ data: { consent: "required" } });
  await visit(shop);
  const next = page({ within: shop.within, data: { consent: "required" } });
  await next.tick(1000);
  next.api.consent("granted");
  await next.tick(60000);
  assert.deepEqual(next.types(), ["page_view", "consent_change"]);
});

test("consent taken back is told once, then nothing is sent or kept", async () => {
  const within = browser();
  const shop = page({ within });
  await shop.tick(1000);
  shop.network.offline = true;
  shop.api.track("click", {});
  await shop.tick(6000);
  assert.equal((await shop.queued()).length, 1);
  shop.network.offline = false;
  shop.api.track("search", { query: "waiting" });
  shop.api.consent("denied");
  shop.api.consent("denied");
  await shop.tick(1000);
  assert.deepEqual(shop.types(), ["page_view", "consent_change"]);
  assert.deepEqual(shop.of("consent_change")[0].data, { state: "denied" });
  assert.deepEqual(await shop.queued(), []);
  assert.equal(within.storage.size, 0);
  const before = shop.posts.length;
  await visit(shop);
  const next = page({ within });
  await visit(next);
  assert.equal(shop.posts.length, before);
  assert.equal(next.posts.length, 0);
  assert.deepEqual(await shop.queued(), []);
});

test("an answer that fails after the denial puts nothing back", async () => {
  const shop = page();
  shop.network.held = true;
  await shop.tick(1000);
  shop.api.consent("denied");
  const answers = shop.network.open.splice(0);
  shop.network.offline = true;
  answers.forEach((answer) => answer());
  await shop.tick(1000);
  assert.deepEqual(await shop.queued(), []);
});

test("a denial that was never a consent is not told", async () => {
  const shop = page({ data: { consent: "required" } });
  await shop.tick(1000);
  shop.api.consent("denied");
  await visit(shop);
  assert.equal(shop.posts.length, 0);
  assert.match(shop.within.cookies.get("_ml_consent"), /^denied;/);
});

test("a denial that the shop's own banner wrote empties what an earlier visit left", async () => {
  const within = browser();
  const earlier = page({ within });
  await earlier.tick(1000);
  earlier.network.offline = true;
  earlier.api.track("click", {});
  earlier.emit("pagehide");
  await earlier.tick(1000);
  assert.notEqual(within.storage.size, 0);
  within.cookies.set("_ml_consent", "denied");
  const next = page({ within });
  await next.tick(1000);
  assert.equal(within.storage.size, 0);
  assert.deepEqual(await within.indexedDB.databases(), []);
  assert.equal(next.posts.length, 0);
});

test("a denial in one tab holds in the others", async () => {
  const within = browser();
  const [one, other] = [page({ within }), page({ within })];
  await one.tick(1000);
  await other.tick(1000);
  other.api.track("click", {});
  one.api.consent("denied");
  await other.tick(5000);
  other.emit("pagehide");
  assert.deepEqual(other.types(), ["page_view"]);
});

test("the browser's own signal is a denial, unless this site was granted more, or does not look", async () => {
  const silent = page({ gpc: true });
  await visit(silent);
  await untouched(silent);
  silent.api.consent("granted");
  await silent.tick(1000);
  assert.deepEqual(silent.types(), ["consent_change"]);
  const off = page({ gpc: true, data: { gpc: "off" } });
  await off.tick(1000);
  assert.deepEqual(off.types(), ["page_view"]);
});

test("the cookie has the name that the shop gave it, and no other word is taken for consent", async () => {
  const shop = page({ data: { consent: "required", consentCookie: "choice" } });
  await shop.tick(1000);
  for (const word of [undefined, "yes", true, "GRANTED", null]) shop.api.consent(word);
  await untouched(shop);
  shop.within.cookies.set("choice", "grantedish");
  shop.within.cookies.set("my_choice", "granted");
  shop.api.flush();
  assert.equal(shop.posts.length, 0);
  shop.within.cookies.set("choice", "granted");
  shop.api.flush();
  assert.deepEqual(shop.types(), ["page_view"], "also where the shop's own banner writes the cookie");
});

test("where the server says that consent is missing nothing stays in storage; what waits for it is kept in memory", async () => {
  const told = (consent) => ({ body: { status: "ok", processed: 0, consent } });
  for (const [word, later] of [["pending", ["page_view", "custom", "custom", "consent_change"]], ["denied", ["consent_change"]]]) {
    const shop = page({ data: { engagement: "off" }, answers: [told(word)] });
    shop.network.held = true;
    await shop.tick(1000);
    shop.api.track("before", {});
    await shop.tick(0);
    assert.equal((await shop.queued()).length, 2);
    shop.network.open.splice(0).forEach((done) => done());
    await shop.tick(0);
    assert.deepEqual(await shop.queued(), [], word);
    shop.api.track("after", {});
    await shop.tick(60000);
    shop.emit("pagehide");
    assert.deepEqual(await shop.queued(), [], word);
    assert.equal(shop.within.storage.size, 0);
    assert.equal(shop.posts.length, 1, word);
    shop.show(true);
    shop.network.held = false;
    shop.api.consent("granted");
    await shop.tick(0);
    assert.deepEqual(shop.posts.slice(1).flatMap((post) => post.body.events.map((event) => event.event_type)), later);
  }
});

test("clicks and impressions wait for consent as well", async () => {
  const shop = page({ data: { consent: "required" } });
  await shop.tick(1000);
  shop.emit("click", { target: element("a", { id: "buy" }, { protocol: "https:", host: "shop.example", pathname: "/x/" }) });
  await shop.tick(60000);
  await untouched(shop);
});

const told = (consent) => answer({ body: { status: "ok", processed: 0, consent } });

test("what is answered with pending after the visitor agreed is sent again, once", async () => {
  for (const word of ["pending", "granted"]) {
    const shop = page({ data: { engagement: "off" } });
    shop.network.held = true;
    await shop.tick(1000);
    shop.api.consent("granted");
    shop.network.open[0](told("pending"));
    await shop.tick(0);
    assert.equal(shop.of("page_view").length, 2, "the page's own view is sent again");
    shop.network.open.slice(1).forEach((done) => done(word === "pending" ? told(word) : undefined));
    await shop.tick(60000);
    assert.equal(shop.of("page_view").length, 2, "a server that reads another cookie is not asked for ever");
  }
});

test("a batch that failed after the server said pending waits in memory for the visitor's word", async () => {
  const shop = page({ within: browser({ database: false }), data: { engagement: "off" } });
  await shop.tick(1000);
  shop.network.held = true;
  for (let n = 0; n < 20; n++) shop.api.track("click", { n });
  shop.network.open[0](told("pending"));
  await shop.tick(0);
  shop.network.open[1](answer({ status: 503 }));
  await shop.tick(0);
  shop.network.held = false;
  shop.api.consent("granted");
  await shop.tick(60000);
  const again = shop.posts.slice(3).flatMap((post) => post.body.events.map((event) => event.data.n)).filter((n) => n !== undefined);
  assert.deepEqual(again.sort((a, b) => a - b), Array.from({ length: 20 }, (_, n) => n));
});

test("a refusal does not lift what the server ruled", async () => {
  const shop = page({ within: browser({ database: false }), data: { engagement: "off" } });
  await shop.tick(1000);
  shop.network.held = true;
  for (let n = 0; n < 20; n++) shop.api.track("click", { n });
  shop.network.open[0](told("pending"));
  await shop.tick(0);
  shop.network.open[1](answer({ status: 400 }));
  await shop.tick(0);
  shop.api.track("click", {});
  shop.api.flush();
  await shop.tick(60000);
  assert.equal(shop.posts.length, 3);
});

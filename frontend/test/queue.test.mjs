// The browser's own queue: what is not acknowledged is in it, and one tab sends it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, page } from "./page.mjs";

const LEASE = 15000;
const quiet = { engagement: "off" };
const types = (stored) => stored.map((one) => one.event.event_type);

test("an event is in the queue until it is acknowledged", async () => {
  const shop = page({ data: quiet });
  shop.network.held = true;
  await shop.tick(1000);
  assert.deepEqual(types(await shop.queued()), ["page_view"], "sent, not answered");
  shop.network.open.forEach((answer) => answer());
  await shop.tick(1000);
  assert.deepEqual(await shop.queued(), []);
  shop.api.track("click", { n: 1 });
  await shop.tick(1000);
  assert.deepEqual(types(await shop.queued()), ["click"], "waiting for its batch");
});

test("what an event was completed with is in the queue as well", async () => {
  const shop = page({ product: "1", data: quiet });
  shop.network.held = true;
  shop.api.trackProductView({ product_id: "1", product_name: "Tea" });
  await shop.tick(1000);
  const stored = (await shop.queued()).find((one) => one.event.event_type === "product_view");
  assert.equal(stored.event.data.product_name, "Tea");
});

test("a page that was left with events in hand: the next one sends them, with the same ids", async () => {
  const within = browser();
  const first = page({ within, data: quiet });
  await first.tick(1000);
  first.network.held = true; // the page is gone before the answer
  first.api.trackPurchase({ order_id: "1" });
  first.api.track("click", {});
  first.emit("pagehide");
  await first.tick(1000);
  const second = page({ within, data: quiet });
  await second.tick(0); // at once: this visitor may be gone soon as well
  const again = second.events().filter((event) => event.event_type !== "page_view");
  assert.deepEqual(again.map((event) => event.event_type).sort(), ["click", "purchase"]);
  const sent = first.events().map((event) => event.event_id);
  assert.ok(again.every((event) => sent.includes(event.event_id)));
  await second.tick(1000);
  assert.deepEqual(await second.queued(), []);
});

test("a tab that is closed may take its transactions with it: the next page has what it recorded last", async () => {
  const within = browser();
  let database;
  const open = (...given) => {
    const request = within.indexedDB.open(...given);
    request.addEventListener("success", () => (database = request.result));
    return request;
  };
  const closed = page({ within, more: { indexedDB: { open } } });
  await closed.tick(1000);
  closed.network.held = true;
  database.transaction = () => {
    throw new Error("the tab is gone");
  };
  closed.api.track("last", { n: 1 });
  closed.emit("pagehide");
  closed.api.track("last", { n: 2 });
  await closed.tick(1000);
  assert.deepEqual(await closed.queued(), []);
  const next = page({ within });
  await next.tick(1000);
  await next.tick(1000);
  const ids = closed.events().map((event) => event.event_id);
  const again = next.events().filter((event) => ids.includes(event.event_id));
  assert.deepEqual(again.map((event) => event.event_type).sort(), ["custom", "custom", "page_engagement"]);
  assert.deepEqual([...within.storage.keys()], ["_ml_session"], "and nothing is left there");
});

test("what was acknowledged while the page was hidden leaves nothing behind", async () => {
  const shop = page();
  await shop.tick(1000);
  shop.show(false);
  assert.equal(shop.within.storage.size, 2);
  await shop.tick(1000);
  assert.deepEqual([...shop.within.storage.keys()], ["_ml_session"]);
  assert.deepEqual(await shop.queued(), []);
});

test("a page that was killed: its events are sent once it can no longer be sending them", async () => {
  const within = browser();
  const killed = page({ within, data: quiet });
  killed.network.held = true;
  await killed.tick(1000);
  const next = page({ within, data: quiet });
  await next.tick(1000);
  assert.deepEqual(next.types(), ["page_view"]);
  within.clock += LEASE;
  await next.tick(200);
  assert.equal(next.of("page_view").length, 2);
  assert.deepEqual(await next.queued(), []);
});

test("500 events of 8 tabs without a network are sent once each, by one tab", async () => {
  const within = browser();
  const tabs = Array.from({ length: 8 }, () => page({ within, data: quiet }));
  for (const tab of tabs) {
    await tab.tick(1000);
    tab.network.offline = true;
  }
  for (let n = 0; n < 500; n++) {
    within.clock++;
    tabs[n % 8].api.track("offline", { n });
  }
  await tabs[0].tick(1000);
  for (const tab of tabs) await tab.tick(5000);
  assert.equal((await tabs[0].queued()).length, 500);
  // All of them are gone without a farewell; one comes back.
  const back = page({ within, data: quiet });
  await back.tick(1000);
  within.clock += LEASE;
  for (let step = 0; step < 20; step++) await back.tick(200);
  const numbers = back.of("custom").map((event) => event.data.n);
  assert.equal(numbers.length, 500);
  assert.equal(new Set(numbers).size, 500);
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b), "the oldest first");
  assert.ok(Math.max(...back.posts.map((post) => post.body.events.length)) <= 50);
  assert.deepEqual(await back.queued(), []);
});

test("two tabs that come back at once do not send the same, with locks or without", async () => {
  for (const locks of [true, false]) {
    const within = browser();
    if (!locks) within.locks = undefined;
    const left = page({ within, data: quiet });
    await left.tick(1000);
    left.network.offline = true;
    for (let n = 0; n < 120; n++) left.api.track("offline", { n });
    left.emit("pagehide");
    await left.tick(1000);
    const pair = [page({ within, data: quiet }), page({ within, data: quiet })];
    await Promise.all(pair.map((one) => one.tick(1000)));
    for (let step = 0; step < 4; step++) for (const one of pair) await one.tick(5001);
    const numbers = pair.flatMap((one) => one.of("custom").map((event) => event.data.n));
    assert.equal(numbers.length, 120, `locks: ${locks}`);
    assert.equal(new Set(numbers).size, 120);
    if (locks) assert.ok(pair.some((one) => one.of("custom").length === 0), "one sender");
  }
});

test("a page that goes to the back/forward cache holds no lock", async () => {
  const within = browser();
  const left = page({ within, data: quiet });
  await left.tick(1000);
  left.network.offline = true;
  left.api.track("offline", {});
  left.emit("pagehide");
  await left.tick(1000);
  const sender = page({ within, data: quiet });
  sender.network.held = true;
  await sender.tick(1000);
  assert.ok(within.locks.held.has("_ml"), "sending");
  sender.emit("pagehide");
  await sender.tick(1000);
  assert.ok(!within.locks.held.has("_ml"));
});

test("a burst without a network is kept whole, however the page makes it", async () => {
  const shop = page({ data: quiet });
  await shop.tick(1000);
  shop.network.offline = true;
  for (const start of [0, 300]) {
    for (let n = start; n < start + 300; n++) shop.api.track("offline", { n });
    await shop.tick(1);
  }
  const kept = await shop.queued();
  assert.equal(new Set(kept.map((one) => one.event.data.n)).size, 600);
});

test("the queue is bounded in number, the oldest go first", async () => {
  const shop = page({ data: quiet });
  await shop.tick(1000);
  shop.network.offline = true;
  for (let n = 0; n < 1300; n++) {
    shop.api.track("offline", { n });
    if (n % 10 === 9) await shop.tick(1);
  }
  const kept = await shop.queued();
  assert.ok(kept.length <= 1000, `${kept.length}`);
  assert.ok(kept.length >= 990);
  assert.equal(kept.at(-1).event.data.n, 1299);
  assert.ok(kept[0].event.data.n >= 300);
});

test("the queue is bounded in size", async () => {
  const shop = page({ data: quiet });
  await shop.tick(1000);
  shop.network.offline = true;
  for (let n = 0; n < 200; n++) {
    shop.api.track("offline", { n, text: "x".repeat(10000) });
    await shop.tick(1);
  }
  const kept = await shop.queued();
  const size = kept.reduce((sum, one) => sum + JSON.stringify(one.event).length, 0);
  assert.ok(size <= 1e6, `${size}`);
  assert.ok(size >= 9e5);
  assert.equal(kept.at(-1).event.data.n, 199);
});

test("a clock that was set back does not hold events for as long, nor stop the sending", async () => {
  const within = browser();
  const killed = page({ within, data: quiet });
  killed.network.held = true;
  await killed.tick(1000);
  killed.api.track("before", {});
  await killed.tick(0);
  within.shift = -60 * 86400000;
  const next = page({ within, data: quiet });
  await next.tick(1000);
  assert.deepEqual(next.of("custom").length, 1);
  const waiting = page({ data: quiet, answers: [503] });
  await waiting.tick(1000);
  waiting.within.shift = -60 * 86400000;
  await waiting.tick(10001);
  await waiting.tick(0);
  assert.equal(waiting.of("page_view").length, 2, "and a wait is over when it is over");
});

test("after 72 hours an event is dropped", async () => {
  for (const [hours, left] of [[71, 1], [73, 0]]) {
    const within = browser();
    const shop = page({ within, data: quiet });
    await shop.tick(1000);
    shop.network.offline = true;
    shop.api.track("offline", {});
    shop.emit("pagehide");
    await shop.tick(1000);
    within.clock += hours * 3600 * 1000;
    const next = page({ within, data: quiet });
    await next.tick(1000);
    assert.equal(next.of("custom").length, left, hours);
    assert.deepEqual(await next.queued(), []);
  }
});

test("a database that fails costs nothing while the page lives", async () => {
  const fail = () => {
    throw new Error("SecurityError");
  };
  const shop = page({ data: quiet, more: { indexedDB: { open: fail } } });
  shop.network.offline = true;
  await shop.tick(1000);
  shop.network.offline = false;
  await shop.tick(5001);
  assert.deepEqual(shop.types(), ["page_view"]);
});

test("a lock or a transaction that is refused once holds nothing up", async () => {
  const within = browser();
  const asked = within.locks.request;
  within.locks.request = () => Promise.reject(new Error("no"));
  const shop = page({ within, data: quiet });
  await shop.tick(1000);
  within.locks.request = asked;
  shop.network.offline = true;
  shop.api.track("kept", {});
  shop.emit("pagehide");
  await shop.tick(1000);
  shop.network.offline = false;
  shop.show(true);
  await shop.tick(20000);
  assert.deepEqual(await shop.queued(), []);

  const broken = browser();
  const real = broken.indexedDB.open.bind(broken.indexedDB);
  let fails = false;
  broken.indexedDB.open = (...given) => {
    const request = real(...given);
    request.addEventListener("success", () => {
      const begin = request.result.transaction.bind(request.result);
      request.result.transaction = (...names) => {
        if (fails) throw new Error("gone");
        return begin(...names);
      };
    });
    return request;
  };
  const other = page({ within: broken, data: quiet });
  await other.tick(500);
  fails = true;
  other.show(true); // which looks into the queue
  await other.tick(1000);
  assert.equal(broken.locks.held.size, 0, "other tabs may send");
});

// From the page to the server: batches, limits of the browser, answers, waiting.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, browser, page } from "./page.mjs";

const nowhere = () => browser({ database: false });
const ids = (post) => post.body.events.map((event) => event.event_id);

/** A page whose own view is acknowledged. */
async function opened(options) {
  const shop = page(options);
  await shop.tick(1000);
  return shop;
}

test("leaving the page sends what waits", async () => {
  const shop = await opened({ data: { engagement: "off" } });
  shop.api.track("click", {});
  shop.emit("pagehide");
  assert.deepEqual(shop.types(), ["page_view", "click"]);
  shop.emit("pagehide");
  assert.equal(shop.posts.length, 2, "nothing waits any more");
});

test("what the page records after the tracker was told that it goes is sent too, together", async () => {
  const shop = await opened({ data: { engagement: "off" } });
  shop.emit("pagehide");
  for (let n = 0; n < 30; n++) shop.api.track("late", { n });
  await shop.tick(1000);
  assert.equal(shop.posts.length, 2);
  assert.equal(shop.posts[1].body.events.length, 30);
  assert.equal(shop.posts[1].keepalive, true);
});

test("a page that is left asks for no more than a browser lets go with it", async () => {
  const shop = await opened({ data: { engagement: "off" } });
  shop.network.held = true;
  for (let n = 0; n < 100; n++) shop.api.track("heavy", { n, text: "ü".repeat(500) });
  shop.emit("pagehide");
  await shop.tick(1000);
  const going = shop.posts.slice(1).filter((post) => post.keepalive);
  assert.ok(going.length >= 1);
  assert.ok(going.length <= 9, `${going.length} requests`);
  const bytes = going.reduce((sum, post) => sum + post.size, 0);
  assert.ok(bytes <= 60 * 1024, `${bytes} bytes`);
  assert.ok(bytes > 30 * 1024, "what fits is used");
});

test("requests under way count, and an answer gives their share back", async () => {
  const shop = await opened({ data: { engagement: "off" } });
  shop.network.held = true;
  for (let n = 0; n < 120; n++) shop.api.track("light", { n });
  assert.equal(shop.posts.length, 13);
  assert.equal(shop.posts.filter((post) => post.keepalive).length, 1 + 9);
  shop.network.held = false;
  shop.network.open.forEach((answer) => answer());
  await shop.tick(1000);
  shop.api.track("light", {});
  shop.api.flush();
  assert.equal(shop.posts.at(-1).keepalive, true);
});

test("where fetch fails at the end the browser is asked to take the body, and its answer is believed", async () => {
  for (const [taken, left] of [[true, 0], [false, 1]]) {
    const within = nowhere();
    let broken = true;
    const seen = [];
    const fetch = (url, options) => {
      if (broken) throw new TypeError("gone");
      seen.push(...JSON.parse(options.body).events);
      return Promise.resolve(answer());
    };
    const shop = page({ within, fetch, beacon: taken, data: { engagement: "off" } });
    shop.emit("pagehide");
    assert.equal(shop.beacons.length, 1);
    assert.deepEqual(shop.beacons[0].events.map((event) => event.event_type), ["page_view"]);
    broken = false;
    shop.show(true);
    await shop.tick(3600000);
    assert.equal(seen.length, left, "kept where the browser refused");
  }
});

test("what the server cannot take is sent again with the same ids, after a random time that doubles", async () => {
  for (const answer of [503, 429, 500, 408]) {
    const shop = await opened({ within: nowhere(), answers: [answer, answer] });
    await shop.tick(4999); // half of 2 x 5 s
    assert.equal(shop.posts.length, 1, answer);
    await shop.tick(2);
    assert.equal(shop.posts.length, 2);
    await shop.tick(9999); // half of 4 x 5 s
    assert.equal(shop.posts.length, 2);
    await shop.tick(3);
    assert.equal(shop.posts.length, 3);
    assert.deepEqual(ids(shop.posts[0]), ids(shop.posts[2]));
    assert.notEqual(shop.posts[0].body.meta.batch_id, shop.posts[2].body.meta.batch_id);
    await shop.tick(3600000);
    assert.equal(shop.posts.length, 3, "acknowledged");
  }
});

test("Retry-After is kept, in seconds and as a date, and an absurd one is cut to an hour", async () => {
  const date = new Date(Date.UTC(2026, 0, 5, 12, 2, 1)).toUTCString(); // two minutes after the first request
  for (const [retry, wait] of [["120", 120000], [date, 120000], ["999999999", 3600000], ["-5", 0], ["soon", 0], ["0", 0]]) {
    const shop = await opened({ within: nowhere(), random: 0, answers: [{ status: 429, retry }] });
    if (wait) await shop.tick(wait - 1);
    assert.equal(shop.posts.length, 1, retry);
    await shop.tick(2);
    assert.equal(shop.posts.length, 2, retry);
  }
});

test("while it waits it sends nothing, not even at the end, where the events are safe", async () => {
  const shop = await opened({ answers: [{ status: 429, retry: "60" }] });
  for (let n = 0; n < 25; n++) shop.api.track("click", { n });
  shop.api.trackPurchase({ order_id: "1" });
  await shop.tick(30000);
  shop.emit("pagehide");
  assert.equal(shop.posts.length, 1);
});

test("what is wrong stays wrong and is not sent again", async () => {
  for (const status of [400, 401, 403, 404, 405, 413]) {
    const shop = await opened({ within: nowhere(), answers: [status] });
    await shop.tick(3600000);
    assert.equal(shop.posts.length, 1, status);
  }
});

test("a redirect that made a GET of the POST acknowledges nothing: the events go where it leads", async () => {
  const moved = { status: 405, url: "https://shop.example/en/api/ml/track/" };
  const shop = await opened({ answers: [moved] });
  assert.deepEqual(shop.posts.map((post) => post.url), ["/api/ml/track/", moved.url], "at once");
  assert.deepEqual(ids(shop.posts[0]), ids(shop.posts[1]));
  assert.deepEqual(await shop.queued(), []);
  shop.api.track("click", {});
  shop.api.flush();
  assert.equal(shop.posts[2].url, moved.url, "and so do later ones");
  const later = await opened({ within: nowhere(), answers: [503, moved] });
  await later.tick(10001);
  await later.tick(20001);
  assert.deepEqual(later.posts.map((post) => post.url), ["/api/ml/track/", "/api/ml/track/", moved.url], "after a failure too");
  const circle = await opened({ within: nowhere(), answers: Array(1000).fill(moved) });
  assert.equal(circle.posts.length, 2, "a circle is not run through");
});

test("another page that answers acknowledges nothing", async () => {
  const login = { body: "<html>", url: "https://shop.example/login/" };
  for (const other of [login, { body: "<html>" }, { body: "null" }, { status: 404, url: "https://shop.example/gone/" }]) {
    const shop = await opened({ within: nowhere(), answers: [other] });
    await shop.tick(10001);
    assert.deepEqual(shop.posts.map((post) => post.url), ["/api/ml/track/", "/api/ml/track/"], JSON.stringify(other));
    assert.deepEqual(ids(shop.posts[0]), ids(shop.posts[1]));
  }
  const kept = await opened({ within: nowhere(), answers: [{ url: "https://shop.example/en/track/" }] });
  await kept.tick(3600000);
  assert.equal(kept.posts.length, 1, "a redirect that keeps the POST does");
});

test("a batch that is too large is split until it is taken", async () => {
  const shop = await opened({ data: { engagement: "off" } });
  shop.window.fetch = ((real) => (url, options) => {
    const count = JSON.parse(options.body).events.length;
    real(url, options);
    return Promise.resolve(answer({ status: count > 3 ? 413 : 200 }));
  })(shop.window.fetch);
  for (let n = 0; n < 10; n++) shop.api.track("large", { n });
  await shop.tick(1000);
  const taken = shop.posts.slice(1).filter((post) => post.body.events.length <= 3);
  assert.deepEqual(taken.flatMap((post) => post.body.events.map((event) => event.data.n)).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(await shop.queued(), []);
});

test("the network coming back ends the waiting", async () => {
  const shop = page({ within: nowhere() });
  shop.network.offline = true;
  await shop.tick(1000);
  assert.equal(shop.posts.length, 0);
  shop.network.offline = false;
  shop.emit("online");
  assert.deepEqual(shop.types(), ["page_view"]);
});

test("memory is bounded", async () => {
  const shop = page({ within: nowhere() });
  shop.network.offline = true;
  await shop.tick(1000);
  for (let n = 0; n < 1000; n++) shop.api.track("click", { n });
  await shop.tick(1000);
  shop.network.offline = false;
  shop.emit("online");
  await shop.tick(1000);
  assert.ok(shop.events().length <= 200);
  assert.equal(shop.events()[0].event_type, "page_view", "the oldest are kept: they explain the others");
});

test("of two refusals with different waits the longer one holds, and one timer ends it", async () => {
  for (const order of [["60", "5"], ["5", "60"]]) {
    const shop = await opened({ within: nowhere(), random: 0, data: { engagement: "off" } });
    shop.network.held = true;
    for (let n = 0; n < 20; n++) shop.api.track("click", { n });
    assert.equal(shop.posts.length, 3);
    shop.network.held = false;
    order.forEach((retry, at) => shop.network.open[at](answer({ status: 429, retry })));
    await shop.tick(59999);
    assert.equal(shop.posts.length, 3, `${order}`);
    await shop.tick(2);
    assert.equal(shop.events().length, 1 + 20 + 20, `${order}`);
  }
});

test("an answer that came after a refusal does not end what the server asked for", async () => {
  const shop = await opened({ within: nowhere(), random: 0, data: { engagement: "off" } });
  shop.network.held = true;
  for (let n = 0; n < 20; n++) shop.api.track("click", { n });
  shop.network.open[0](answer({ status: 429, retry: "60" }));
  await shop.tick(0);
  shop.network.open[1]();
  await shop.tick(0);
  shop.api.trackPurchase({ order_id: "1" });
  await shop.tick(50000);
  assert.equal(shop.posts.length, 3);
});

test("the second half of a batch that was too large waits where the first was told to", async () => {
  const shop = await opened({ within: nowhere(), random: 0, data: { engagement: "off" }, answers: [200, 413, { status: 429, retry: "60" }] });
  for (let n = 0; n < 10; n++) shop.api.track("large", { n });
  await shop.tick(59000);
  assert.deepEqual(shop.posts.map((post) => post.body.events.length), [1, 10, 5]);
  await shop.tick(1002);
  assert.deepEqual(shop.of("custom").slice(15).map((event) => event.data.n).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "then all of them come");
});

test("both halves of a batch leave at once with a page that is left", async () => {
  const shop = await opened({ within: nowhere(), data: { engagement: "off" } });
  shop.network.held = true;
  for (let n = 0; n < 9; n++) shop.api.track("heavy", { n, text: "x".repeat(12000) });
  shop.emit("pagehide");
  const left = [...shop.posts.slice(1), ...shop.beacons.map((events) => ({ body: events }))];
  assert.equal(left.flatMap((post) => post.body.events).length, 9, "before any answer");
});

test("a queue that is being sent when the page is left is sent further when it comes back", async () => {
  const within = browser();
  const leaveBehind = async (count) => {
    const gone = page({ within, data: { engagement: "off" } });
    await gone.tick(1000);
    gone.network.offline = true;
    for (let n = 0; n < count; n++) gone.api.track("left", { n, text: "x".repeat(10000) });
    gone.emit("pagehide");
    await gone.tick(0);
  };
  await leaveBehind(2);
  const shop = page({ within, data: { engagement: "off" } });
  shop.network.held = true;
  for (let n = 0; n < 9; n++) shop.api.track("heavy", { n, text: "x".repeat(5500) });
  await shop.tick(0);
  assert.deepEqual(shop.posts.map((post) => post.body.events.length), [10, 2], "its own, and the queue's");
  shop.emit("pagehide");
  // There is no room for its halves any more: the browser is asked to take them.
  shop.network.open[1](answer({ status: 413 }));
  await shop.tick(0);
  assert.equal(shop.beacons.length, 2);
  shop.network.held = false;
  shop.network.open[0]();
  await shop.tick(0);
  await leaveBehind(3);
  shop.show(true);
  for (let step = 0; step < 4; step++) await shop.tick(6000);
  assert.ok(shop.of("custom").filter((event) => event.data.action === "left").length > 2, "the later ones too");
});

test("a refusal that is not the endpoint's own is another's, and tried again; too large is too large", async () => {
  for (const [status, body, posts] of [[403, "<html>", 2], [404, '{"detail": "no"}', 2], [404, '{"status": "error"}', 1], [413, "<html>", 1]]) {
    const shop = await opened({ within: nowhere() });
    const other = { ...answer({ status }), json: async () => JSON.parse(body) };
    shop.network.held = true;
    shop.api.track("click", {});
    shop.api.flush();
    shop.network.open[0](other);
    await shop.tick(0);
    shop.network.held = false;
    await shop.tick(20000);
    assert.equal(shop.posts.length - 1, posts, `${status} ${body}`);
  }
});

test("a `fetch` that answers nothing is no answer", async () => {
  const shop = await opened({ within: nowhere(), fetch: () => Promise.resolve(undefined) });
  shop.window.fetch = (_url, { body }) => (shop.posts.push({ body: JSON.parse(body) }), Promise.resolve(answer()));
  await shop.tick(10001);
  assert.deepEqual(shop.types(), ["page_view"]);
});

// A page made of stand-ins with the built tracker in it; a real browser is driven from tests/api/test_browser.py.
import { IDBFactory } from "fake-indexeddb";
import { readFileSync } from "node:fs";
import vm from "node:vm";

export const code = readFileSync(new URL("../../src/ml_models/static/js/ml-tracking.js", import.meta.url), "utf8");
export const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const START = Date.UTC(2026, 0, 5, 12);

/** What the tabs of one browser share. */
export function browser({ database = true } = {}) {
  const held = new Set();
  return {
    storage: new Map(),
    cookies: new Map(),
    indexedDB: database ? new IDBFactory() : undefined,
    locks: {
      held,
      async request(name, options, work) {
        if (held.has(name)) return work(null);
        held.add(name);
        try {
          return await work({ name });
        } finally {
          held.delete(name);
        }
      },
    },
    clock: 0,
    shift: 0, // by how much somebody set the clock, milliseconds
  };
}

/** What the endpoint answers; `body` in place of its JSON where another page does, `url` where a redirect led. */
export function answer({ status = 200, retry = null, body = { status: "ok", processed: 1 }, url } = {}) {
  const json = async () => JSON.parse(typeof body === "string" ? body : JSON.stringify(status < 300 ? body : { status: "error" }));
  return { status, headers: { get: () => retry }, redirected: !!url, url, json };
}

/** Let everything that waits for no timer happen. */
export async function settle() {
  for (let turn = 0; turn < 60; turn++) await new Promise((done) => setImmediate(done));
}

/** An element with attributes, as far as the tracker looks at one. */
export function element(tag, attributes = {}, { inside = {}, ...more } = {}) {
  const dataset = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("data-")) dataset[name.slice(5).replace(/-(.)/g, (_, letter) => letter.toUpperCase())] = value;
  }
  const own = {
    localName: tag,
    dataset,
    getAttribute: (name) => attributes[name] ?? null,
    closest(selector) {
      for (const one of selector.split(",")) {
        const name = (one.match(/^(\w+)/) || [])[1];
        const [, key] = one.match(/\[([\w-]+)/) || [];
        if ((!name || name === tag) && (!key || key in attributes)) return own;
      }
      return inside.closest ? inside.closest(selector) : null;
    },
    ...more,
  };
  return own;
}

/**
 * A page with the tracker loaded. `tick(ms)` lets time pass; `answers` are the statuses of the requests in turn (an
 * object is given to `answer`), `offline` makes requests fail.
 */
export function page({
  within = browser(),
  data = {},
  product,
  marked = [],
  timing,
  answers = [],
  fetch,
  beacon = true,
  random = 0.5,
  search = "?x=1",
  gpc,
  more = {},
} = {}) {
  const posts = [];
  const beacons = [];
  const listeners = {};
  const timers = [];
  const watchers = [];
  const lines = [];
  const listen = (name, work) => (listeners[name] ??= []).push(work);
  const network = { offline: false, held: false, open: [] };
  class FakeDate extends Date {
    constructor(...given) {
      super(...(given.length ? given : [START + within.clock + within.shift]));
    }
    static now() {
      return START + within.clock + within.shift;
    }
  }
  const document = {
    currentScript: { dataset: { apiUrl: "/api/ml/track/", ...data } },
    readyState: "complete",
    hidden: false,
    focused: true,
    hasFocus: () => document.focused,
    referrer: "https://search.example/",
    title: "Shop",
    documentElement: { scrollHeight: 2000 },
    get cookie() {
      return [...within.cookies].map(([name, value]) => `${name}=${value.split(";")[0]}`).join("; ");
    },
    set cookie(text) {
      const [name, ...rest] = text.split("=");
      within.cookies.set(name, rest.join("="));
    },
    addEventListener: listen,
    querySelector: (selector) => (selector.startsWith("meta") && product !== undefined ? { content: product } : null),
    querySelectorAll: () => marked,
  };
  const location = { pathname: "/p/1/", search, host: "shop.example", origin: "https://shop.example", protocol: "https:" };
  const go = (_state, _title, address) => {
    const parsed = new URL(address, location.origin + location.pathname);
    location.pathname = parsed.pathname;
    location.search = parsed.search;
  };
  const window = {
    document,
    location,
    innerHeight: 500,
    scrollY: 0,
    history: { pushState: go, replaceState: go },
    performance: {
      now: () => within.clock,
      getEntriesByType: () => (timing ? [{ serverTiming: [{ name: "ml", description: timing }] }] : []),
    },
    localStorage: new Proxy(
      {
        get _ml_debug() {
          return within.storage.get("_ml_debug");
        },
        getItem: (key) => within.storage.get(key) ?? null,
        setItem: (key, value) => within.storage.set(key, String(value)),
        removeItem: (key) => within.storage.delete(key),
      },
      {
        ownKeys: () => [...within.storage.keys()],
        getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
      },
    ),
    indexedDB: within.indexedDB,
    navigator: {
      globalPrivacyControl: gpc,
      locks: within.locks,
      sendBeacon: (url, body) => (beacons.push({ url, ...JSON.parse(body) }), beacon),
    },
    crypto: globalThis.crypto,
    console: { log: (...words) => lines.push(words) },
    Blob,
    queueMicrotask,
    Date: FakeDate,
    Math: Object.create(Math, { random: { value: () => random } }),
    IntersectionObserver: class {
      constructor(work) {
        this.watched = new Set();
        watchers.push({ work, watched: this.watched });
      }
      observe(one) {
        this.watched.add(one);
      }
      unobserve(one) {
        this.watched.delete(one);
      }
    },
    MutationObserver: class {
      constructor(work) {
        window.mutated = work;
      }
      observe() {}
    },
    addEventListener: listen,
    setTimeout: (work, wait = 0) => (timers.push({ at: within.clock + wait, work }), timers.length),
    clearTimeout: (id) => id && (timers[id - 1].work = () => {}),
    fetch:
      fetch ??
      ((url, options) => {
        if (network.offline) return Promise.reject(new TypeError("offline"));
        posts.push({ url, ...options, size: Buffer.byteLength(options.body), body: JSON.parse(options.body) });
        const come = () => {
          const next = Object(answers[0]) === answers[0] ? answers.shift() : { status: answers.shift() ?? 200 };
          return answer(next);
        };
        if (!network.held) return Promise.resolve(come());
        return new Promise((done) => network.open.push((given) => done(given ?? come())));
      }),
    ...more,
  };
  window.window = window;
  vm.runInNewContext(code, window);
  return {
    api: window.BunoraaML,
    window,
    document,
    within,
    posts,
    beacons,
    lines,
    network,
    listeners,
    emit: (name, event = {}) => (listeners[name] ?? []).forEach((work) => work({ type: name, ...event })),
    /** The page loses or gets the visitor's eyes. */
    show(visible) {
      document.hidden = !visible;
      this.emit("visibilitychange");
    },
    /** Elements come into view so far. */
    see: (share, ...elements) =>
      watchers[0].work(
        elements
          .filter((one) => watchers[0].watched.has(one))
          .map((target) => ({ target, isIntersecting: share > 0, intersectionRatio: share })),
      ),
    watched: () => watchers[0].watched,
    events: () => posts.flatMap((post) => post.body.events),
    of: (type) => posts.flatMap((post) => post.body.events).filter((event) => event.event_type === type),
    types: () => posts.flatMap((post) => post.body.events.map((event) => event.event_type)),
    /** Ids of the events that wait in the browser's queue. */
    async queued() {
      if (!(await within.indexedDB.databases()).length) return []; // to open it would make one
      return new Promise((done) => {
        const request = within.indexedDB.open("_ml");
        request.onsuccess = () => {
          const all = request.result.transaction("events").objectStore("events").getAll();
          all.onsuccess = () => (request.result.close(), done(all.result));
        };
      });
    },
    async tick(milliseconds) {
      await settle();
      within.clock += milliseconds;
      // A timer may set another that is due as well.
      for (let index = 0; index < timers.length; index++) {
        const timer = timers[index];
        if (timer.at <= within.clock) {
          const work = timer.work;
          timer.work = () => {};
          work();
        }
      }
      await settle();
    },
  };
}

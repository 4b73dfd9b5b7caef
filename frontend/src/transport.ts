// Events on their way: recorded -> in the queue of the beventser -> sent -> acknowledged -> out of the queue.
import { allowed, consent } from "./consent";
import { forgetSession, uuid7 } from "./ids";
import { later, options, safely, soon, tell } from "./page";
import { adopt, claim, clear, drop, durable, interrupt, put, rescue } from "./queue";
import type { WireEvent } from "./types";

const BATCH = 10; // events of one request
const LARGE = 50; // events of one request when leaving, and of one from the queue
const WAIT = 5000; // longest time an event waits, milliseconds
const KEPT = 200; // events kept in memory
const BYTES = 60 * 1024; // a beventser refuses keepalive bodies beyond 64 KiB, all that are under way counted
const REQUESTS = 9; // and more than this many keepalive requests under way
const LONGEST = 300000; // longest back-off of our own, milliseconds
const HOUR = 3600000; // longest the server may ask for

let waiting: WireEvent[] = []; // recorded, not sent
let flying: WireEvent[] = []; // sent, not answered
let unsaved: WireEvent[] = []; // not yet in the queue
let requests = 0;
let bytes = 0;
let until = 0; // nothing is sent before this time, milliseconds since 1970
let failures = 0;
let timer: ReturnType<typeof setTimeout> | 0 = 0;
let leaving = false; // hidden or going: no other chance may come
let draining = false;
let unlock: (() => void) | undefined;

const without = (from: WireEvent[], events: WireEvent[]): WireEvent[] => from.filter((event) => !events.includes(event));

/** Write what was recorded in this moment, and send it where the page is going. */
function settle(): void {
  if (!allowed()) return;
  if (leaving) rescue(unsaved);
  put(unsaved.splice(0), leaving);
  if (leaving) flush();
}

/** Take an event; it leaves with the batch, or at once. */
export function add(event: WireEvent, now: boolean): void {
  if (waiting.length < KEPT) waiting.push(event);
  if (unsaved.length < KEPT || allowed()) unsaved.push(event);
  soon(settle);
  if (waiting.length >= (leaving ? LARGE : BATCH) || now) flush();
  else if (!timer) timer = later(flush, WAIT);
}

/** Add to the data of an event that has not left. */
export function amend(id: string, data: object): void {
  const event = waiting.find((one) => one.event_id === id);
  if (!event) return;
  Object.assign(event.data, data);
  unsaved.push(event);
  soon(settle);
}

/** Send what waits. */
export function flush(): void {
  clearTimeout(timer as number);
  timer = 0;
  if (consent() === "denied") forget();
  if (!allowed()) return;
  if (Date.now() < until && (durable() || !leaving)) return hand(waiting);
  // Taken out first: what a send puts back waits for the next time.
  const due = waiting.splice(0);
  while (due.length) send(due.splice(0, leaving ? LARGE : BATCH));
}

/** Give events to whichever tab sends next; they stay in memory until they are known to be written. */
function hand(events: WireEvent[]): void {
  if (!allowed()) return;
  waiting = events.concat(without(waiting, events)).slice(0, KEPT);
  put(events, true, () => (waiting = without(waiting, events)));
}

function halves(events: WireEvent[], then?: (on: boolean) => void): void {
  const middle = events.length >> 1;
  send(events.slice(0, middle), () => send(events.slice(middle), then));
}

/** The last resort: the beventser itself takes the body over. Its false means that it did not. */
function beacon(events: WireEvent[], body: string): void {
  const taken = navigator.sendBeacon && navigator.sendBeacon(options.apiUrl!, body);
  tell("beacon", taken, events.length);
  if (!taken) hand(events);
}

/** Post events; `then` hears whether to go on. */
function send(events: WireEvent[], then?: (on: boolean) => void): void {
  const body = JSON.stringify({
    events: events,
    meta: { batch_id: uuid7(), sent_at: new Date().toISOString(), schema: 1 },
  });
  const size = new Blob([body]).size;
  const keepalive = requests < REQUESTS && bytes + size <= BYTES;
  if (leaving && !keepalive) {
    if (events.length > 1 && requests < REQUESTS) halves(events);
    else beacon(events, body);
    return;
  }
  const counted = keepalive ? 1 : 0;
  requests += counted;
  bytes += counted * size;
  flying = flying.concat(events);

  const answered = safely((status: number, header?: string | null) => {
    requests -= counted;
    bytes -= counted * size;
    flying = without(flying, events);
    tell("request", status || "failed", events.length, "events");
    if (status === 413 && events.length > 1) return halves(events, then);
    const again = !status || status === 408 || status === 429 || status >= 500;
    if (again) {
      if (!status && leaving) beacon(events, body);
      else hand(events);
      backOff(header);
    } else {
      // Taken, or wrong for good: neither comes again.
      failures = until = 0;
      drop(events);
    }
    if (then) then(!again);
  });

  try {
    fetch(options.apiUrl!, {
      method: "POST",
      body,
      headers: { "Content-Type": "application/json" },
      credentials: "same-origin",
      keepalive,
    }).then(
      safely((answer: Response) => {
        answered(answer.status, answer.headers.get("Retry-After"));
        // Until its body is read, the beventser holds the request, and its share of the keepalive bytes, open.
        answer.text().catch(tell);
      }),
      () => answered(0),
    );
  } catch {
    answered(0);
  }
}

/** Wait before the next request: what the server asked for (seconds or a date), and a random time that doubles. */
function backOff(header?: string | null): void {
  const now = Date.now();
  if (now < until && !header) return; // a request that was under way with the one that failed
  const asked = header ? Number(header) * 1000 || Date.parse(header) - now || 0 : 0;
  const own = Math.random() * Math.min(LONGEST, WAIT * 2 ** ++failures);
  const wait = Math.max(0, Math.min(asked, HOUR)) + own;
  until = now + wait;
  tell("waits ms", wait);
  later(wake, wait + 1);
}

function wake(): void {
  flush();
  drain();
}

/** Send what other pages left behind; one tab at a time does. */
export function drain(): void {
  if (draining || leaving || !allowed() || Date.now() < until || !durable()) return;
  draining = true;
  adopt();
  const stop = (wait: number): void => {
    draining = false;
    if (unlock) unlock();
    unlock = undefined;
    if (wait) later(drain, wait);
  };
  const next = safely((on: boolean) => {
    if (!on || leaving) return stop(0); // who comes back, or backs off, starts again
    claim(LARGE, (events, wait) => (events.length ? send(events, next) : stop(wait)));
  });
  // Without locks the claim alone keeps two tabs from sending the same.
  if (!navigator.locks) return next(true);
  navigator.locks
    .request("_ml", { ifAvailable: true }, (lock) => {
      if (!lock) return stop(WAIT);
      return new Promise<void>((free) => {
        unlock = free;
        next(true);
      });
    })
    .catch(tell);
}

/** The page is hidden or going: write and send all there is. */
export function leave(): void {
  // Hidden already: what came since was written as it came.
  if (!leaving && allowed()) {
    leaving = true;
    interrupt(true);
    rescue(unsaved);
    unsaved = [];
    put(flying.concat(waiting), true);
    if (unlock) unlock(); // a page in the back/forward cache must hold no lock
  }
  leaving = true;
  flush();
}

/** The page is there again, or the network is. */
export function back(online = false): void {
  leaving = false;
  interrupt(false);
  if (online) failures = until = 0;
  wake();
}

/** Drop what was not sent from memory; what is recorded next goes at once. */
export function empty(): void {
  waiting = [];
  unsaved = [];
  until = 0;
}

/** Forget everything, here and in the browser. */
const forget = safely(() => {
  empty();
  clear();
  forgetSession();
});

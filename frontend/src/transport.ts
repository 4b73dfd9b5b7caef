// Events on their way: recorded -> in the queue of the browser -> sent -> acknowledged -> out of the queue.
import { allowed, type Consent, consent, rule, said } from "./consent";
import { forgetSession, uuid7 } from "./ids";
import { later, options, safely, soon, tell } from "./page";
import { adopt, claim, clear, drop, durable, interrupt, LARGE, put, rescue } from "./queue";
import type { WireEvent } from "./types";

const BATCH = 10; // events of one request
const WAIT = 5000; // longest time an event waits, milliseconds
const KEPT = 200; // events kept in memory
const BYTES = 60 * 1024; // a browser refuses keepalive bodies beyond 64 KiB, all that are under way counted
const REQUESTS = 9; // and more than this many keepalive requests under way

let waiting: WireEvent[] = []; // recorded, not sent
let flying: WireEvent[] = []; // sent, not answered
let unsaved: WireEvent[] = []; // not yet in the queue
let requests = 0;
let bytes = 0;
let until = 0; // nothing is sent before this time, milliseconds since 1970
let failures = 0;
let timer: ReturnType<typeof setTimeout> | 0 = 0;
let pause: typeof timer; // ends the wait
let leaving = false; // hidden or going: no other chance may come
let draining = false;

type Then = (on: boolean) => void;

const nothing: Then = () => undefined;
let unlock = nothing as () => void;

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
  for (const event of waiting) {
    if (event.event_id !== id) continue;
    Object.assign(event.data, data);
    unsaved.push(event);
    soon(settle);
  }
}

/** Send what waits. */
export function flush(): void {
  clearTimeout(timer as number);
  timer = 0;
  if (consent() === "denied") forget();
  if (!allowed()) return;
  if (Date.now() < until && (durable() || !leaving)) return hand(waiting);
  // Taken out first: what a send puts back waits for the next time.
  for (const due = waiting.splice(0); due[0]; ) send(due.splice(0, leaving ? LARGE : BATCH));
}

/** Give events to whichever tab sends next; they stay in memory until they are known to be written, or may be. */
function hand(events: WireEvent[]): void {
  if (consent() === "denied") return;
  waiting = events.concat(without(waiting, events)).slice(0, KEPT);
  if (allowed()) put(events, true, () => (waiting = without(waiting, events)));
}

/** Send events in two requests: at once from a page that is left, else the second after the first was taken. */
function halves(events: WireEvent[], then = nothing): void {
  const first = events.splice(0, events.length / 2);
  if (leaving) {
    send(first);
    send(events, then);
  } else {
    send(first, (on) => {
      if (on) return send(events, then);
      hand(events);
      then(on);
    });
  }
}

/** The last resort: the browser itself takes the body over. Its false means that it did not. */
function beacon(events: WireEvent[], body: string): void {
  if (navigator.sendBeacon && navigator.sendBeacon(options.apiUrl!, body)) tell("beacon", events.length);
  else hand(events);
}

/** Post events; `then` hears whether to go on. */
function send(events: WireEvent[], then = nothing): void {
  const body = JSON.stringify({
    events,
    meta: { batch_id: uuid7(), sent_at: new Date().toISOString(), schema: 1 },
  });
  const size = new Blob([body]).size;
  const keepalive = requests < REQUESTS && bytes + size <= BYTES;
  if (leaving && !keepalive) {
    if (events[1] && requests < REQUESTS) return halves(events, then);
    beacon(events, body);
    then(false);
    return;
  }
  const before = said();
  const counted = +keepalive;
  requests += counted;
  bytes += counted * size;
  flying = flying.concat(events);

  (async () => {
    let status: number | undefined;
    let redirected: boolean | undefined;
    let url: string;
    let retry: string | null | undefined;
    let processed: unknown;
    let word: string;
    let ruling: Consent | undefined;
    try {
      const answer = await fetch(options.apiUrl!, {
        method: "POST",
        body,
        headers: { "Content-Type": "application/json" },
        credentials: "include",
        keepalive,
      });
      ({ redirected, status, url } = answer);
      retry = answer.headers.get("Retry-After");
      // Until its body is read, the browser holds the request, and its share of the keepalive bytes, open.
      ({ processed, status: word, consent: ruling } = await answer.json());
    } catch {
      // no answer, or none of the endpoint
    }
    requests -= counted;
    bytes -= counted * size;
    flying = without(flying, events);
    tell("request", status, events.length);
    if (status === 413 && events[1]) return halves(events, then);
    // The redirect made a GET of the POST. An endpoint that says so is asked itself, at once unless that failed before.
    if (redirected && status === 405) {
      options.apiUrl = url!;
      if (!failures++) return send(events, then);
    }
    // Another page may be what answered, and with 200: only the endpoint's own word acknowledges.
    // So may a refusal be another's, of a firewall or while the shop is deployed; only 413 is believed to anybody.
    const again = processed == null && (redirected || !/^4(13|(?!08|29)..,error)/.test([status, word!] as any));
    if (again) {
      if (!status && leaving) beacon(events, body);
      else hand(events);
      backOff(retry);
    } else {
      // Taken, or wrong for good: neither comes again.
      failures = 0;
      // The visitor agreed while it was under way: what they agreed to goes now, once.
      if (ruling && before !== said() && allowed()) return send(events, then);
      drop(events);
      if (ruling) rule(ruling); // an answer without one, as a refusal is, lifts nothing
      if (!allowed()) {
        forget(events.concat(waiting));
        flush(); // which forgets the rest where it is denied
      }
    }
    then(!again);
  })().catch(tell);
}

/**
 * Wait before the next request: what the server asked for (seconds or a date, an hour at most), and a random time whose
 * limit doubles from 10 seconds to 5 minutes.
 */
function backOff(header?: string | null): void {
  const now = Date.now();
  const asked = +header! * 1000 || Date.parse(header!) - now || 0;
  const own = Math.random() * Math.min(3e5, 1e4 * 2 ** failures);
  const wait = Math.max(0, Math.min(asked, 36e5)) + own;
  // A request that was under way with one that failed: the longer of what the server asked for holds.
  if (until > now + (asked && wait)) return;
  failures++;
  until = now + wait;
  tell("waits", wait);
  // The clock is not asked again: it may have been set back.
  clearTimeout(pause as number);
  pause = later(() => {
    until = 0;
    wake();
  }, wait + 1);
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
    unlock();
    if (wait) later(drain, wait);
  };
  const next = safely((on: boolean) => {
    if (!on || leaving || Date.now() < until) return stop(0); // who comes back, or backs off, starts again
    claim((events, wait) => (events[0] ? send(events, next) : stop(wait)));
    if (!durable()) stop(0); // it failed, and calls nobody
  });
  // Without locks the claim alone keeps two tabs from sending the same.
  if (!navigator.locks) next(true);
  else
    navigator.locks
      .request("_ml", { ifAvailable: true }, (lock) => {
        if (!lock) return stop(WAIT);
        return new Promise<void>((free) => {
          unlock = free;
          next(true);
        });
      })
      .catch(() => stop(0));
}

/** The page is hidden or going: write and send all there is. */
export function leave(): void {
  // Hidden already: what came since was written as it came.
  if (!leaving && allowed()) {
    interrupt(true);
    rescue(unsaved.splice(0));
    put(flying.concat(waiting), true);
    unlock(); // a page in the back/forward cache must hold no lock
  }
  leaving = true;
  flush();
}

/** The page is there again, or the network is. */
export function back(online?: Event): void {
  leaving = false;
  interrupt(false);
  if (online) failures = until = 0;
  wake();
}

/** Drop what was not sent from memory; what is recorded next goes at once. */
export function empty(kept: WireEvent[] = []): void {
  waiting = kept;
  unsaved = [];
  until = 0;
}

/** Forget everything, here and in the browser. */
const forget = safely((kept?: WireEvent[]) => {
  empty(kept);
  clear();
  forgetSession();
});

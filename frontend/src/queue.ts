// The events that no server has acknowledged yet, in IndexedDB, shared by all tabs of this site.
import { each, safely, tell } from "./page";
import type { WireEvent } from "./types";

/** An event as stored: before `due` (milliseconds since 1970) it belongs to the page that recorded it or sends it. */
interface Stored {
  event: WireEvent;
  due: number;
}

const NAME = "_ml";
const KEY = "_ml:"; // of an event in localStorage
const ROWS = 1000; // most events kept
const SIZE = 1e6; // most characters kept
const AGE = 72 * 3600 * 1000; // longest time an event is kept, milliseconds
export const LARGE = 50; // events of one request when leaving, and of one from the queue
const LEASE = 15000; // how long a page has for sending what it took, milliseconds

type Work = (store: IDBObjectStore, transaction: IDBTransaction) => void;

let database: IDBDatabase | null | undefined; // null: there is none to be had
let early: Work[] | undefined; // asked for while it opens
// What this page may write before it looks at the whole again; the fuller the queue, the less.
let rows = 100;
let room = 1e5;
let long: IDBTransaction[] = []; // that wait for this page between two requests
let going = false;

const length = (event: WireEvent): number => JSON.stringify(event).length;

/** Whether events can be kept beyond the page. */
export const durable = (): boolean => database !== null;

function run(work: Work): void {
  try {
    const transaction = database!.transaction("events", "readwrite");
    work(transaction.objectStore("events"), transaction);
  } catch (error) {
    database = null; // from now on this page's memory has to do
    tell(error);
  }
}

function use(work: Work): unknown {
  if (database) return run(work);
  if (database === null) return undefined;
  if (early) return early.push(work);
  early = [work];
  const none = (): unknown => (database = null);
  try {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = safely(() => request.result.createObjectStore("events", { keyPath: "event.event_id" }));
    request.onsuccess = safely(() => {
      database = request.result;
      // Its storage was cleared: the next use opens it again. Another tab deletes it: from then on memory has to do.
      database.onclose = () => (database = undefined);
      database.onversionchange = () => database!.close();
      const due = early!;
      early = undefined;
      each(due, run);
    });
    request.onerror = none;
  } catch {
    none();
  }
}

/** Everything stored, oldest first, after what is too old or too much was removed. */
function sweep(store: IDBObjectStore, then: (kept: Stored[]) => void): void {
  if (going) return store.transaction.abort();
  long.push(store.transaction);
  const all = store.getAll() as IDBRequest<Stored[]>;
  all.onsuccess = safely(() => {
    const kept: Stored[] = [];
    rows = ROWS;
    room = SIZE;
    for (const stored of all.result.reverse()) {
      rows--;
      room -= length(stored.event);
      if (rows < 0 || room < 0 || Date.now() - Date.parse(stored.event.timestamp) > AGE) store.delete(stored.event.event_id);
      else kept.unshift(stored);
    }
    rows /= 10;
    room /= 10;
    then(kept);
  });
}

/** The page is going: a transaction that waits for it would hold up the pages after it. */
export function interrupt(leaving: boolean): void {
  going = leaving;
  each(long, (transaction) => transaction.abort()); // which fails for those that are done
  long = [];
}

// Said at once: else the browser would wait for the page, and undo the writing of one that is gone.
const commit = (transaction: IDBTransaction): void => transaction.commit && transaction.commit();

/** Keep events; `saved` is called once they survive the page. Others may take them now (`free`), else after the lease. */
export function put(events: WireEvent[], free: boolean, saved?: () => void): void {
  if (!events[0]) return;
  const due = free ? 0 : Date.now() + LEASE;
  use((store, transaction) => {
    if (saved) transaction.oncomplete = safely(saved);
    for (const event of events) {
      store.put({ event, due });
      rows--;
      room -= length(event);
    }
    commit(transaction);
  });
  if (!free && (rows < 0 || room < 0)) use((store) => sweep(store, () => undefined));
}

/** Also write events where it is done when the call returns: a tab that is closed may take its transactions with it. */
export const rescue = (events: WireEvent[]): void =>
  each(events, (event) => localStorage.setItem(KEY + event.event_id, JSON.stringify(event)));

const rescued = (): string[] => Object.keys(localStorage).filter((key) => key.startsWith(KEY));

const remove = (key: string): void => localStorage.removeItem(key);

/** Bring what closed tabs rescued into the queue. */
export const adopt = safely(() => {
  const keys = rescued();
  if (!keys[0]) return;
  use((store, transaction) => {
    long.push(transaction);
    transaction.oncomplete = () => each(keys, remove);
    each(keys, (key) => {
      const request = store.add({ event: JSON.parse(localStorage.getItem(key)!), due: 0 });
      request.onerror = (event) => event.preventDefault(); // it is there, and may be another page's by now
    });
  });
});

/** Remove events. */
export function drop(events: WireEvent[]): void {
  use((store, transaction) => {
    each(events, (event) => store.delete(event.event_id));
    commit(transaction);
  });
  each(events, (event) => remove(KEY + event.event_id));
}

/** Remove everything, and make nothing where there is nothing. */
export function clear(): void {
  if (database) use((store) => store.clear());
  else indexedDB.deleteDatabase(NAME);
  each(rescued(), remove);
}

/**
 * Take events that belong to no page, as many as go in a request; no other page gets them within the lease. `wait`:
 * milliseconds until one may be free where none is now, 0 where nothing is left.
 */
export function claim(then: (events: WireEvent[], wait: number) => void): void {
  use((store, transaction) => {
    let taken: Stored[] = [];
    let wait = 0;
    transaction.oncomplete = safely(() => then(taken.map((stored) => stored.event), wait));
    transaction.onabort = safely(() => then([], 0));
    sweep(store, (kept) => {
      const now = Date.now();
      taken = kept.filter(({ due }) => due <= now || due > now + LEASE).slice(0, LARGE);
      each(taken, ({ event }) => store.put({ event, due: now + LEASE }));
      wait = kept.length && Math.min(...kept.map((stored) => stored.due)) - now + 100;
      commit(transaction);
    });
  });
}

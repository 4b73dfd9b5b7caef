"""What pages do to the ground a script stands on: name -> a script that runs before the tracker."""

_DEFINE = "const put = (on, name, value) => Object.defineProperty(on, name, { value, configurable: true });\n"
_THROW = "const bomb = () => { throw new Error('sabotage'); };\n"
_GETTER = "const trap = (on, name) => Object.defineProperty(on, name, { get: bomb, configurable: true });\n"

SABOTAGE: dict[str, str] = {
    "control": "setTimeout(() => { throw new Error('the detector must see this'); });",
    "nothing": "",
    "frozen": "[Object, Array, String, Function, Promise, Map, Set, Element, Document, History, EventTarget, Event]"
    ".forEach((one) => { Object.freeze(one.prototype); Object.freeze(one); });",
    "frozen-objects": "Object.freeze(history); Object.freeze(navigator); Object.freeze(document);",
    "no-fetch": _DEFINE + "put(window, 'fetch', undefined); put(navigator, 'sendBeacon', undefined);",
    "fetch-throws": _THROW + "window.fetch = bomb; Navigator.prototype.sendBeacon = bomb;",
    "fetch-rejects": "window.fetch = () => Promise.reject(new Error('sabotage'));",
    "fetch-nonsense": "window.fetch = () => 5;",
    "fetch-empty": "window.fetch = () => Promise.resolve({});",
    "fetch-null": "window.fetch = () => Promise.resolve(null);",
    "no-storage": _DEFINE + "put(window, 'localStorage', null); put(window, 'indexedDB', undefined);",
    "storage-throws": _THROW + _GETTER + "trap(window, 'localStorage'); trap(window, 'indexedDB');",
    "database-nonsense": "IDBFactory.prototype.open = () => ({});",
    "database-throws": _THROW + "IDBDatabase.prototype.transaction = bomb; IDBObjectStore.prototype.put = bomb;",
    "store-throws": _THROW + "IDBObjectStore.prototype.getAll = bomb; IDBObjectStore.prototype.delete = bomb;",
    "no-locks": _DEFINE + "put(navigator, 'locks', undefined);",
    "locks-throw": _THROW + "LockManager.prototype.request = bomb;",
    "locks-reject": "LockManager.prototype.request = () => Promise.reject(new Error('sabotage'));",
    "no-crypto": _DEFINE + "put(window, 'crypto', undefined);",
    "crypto-throws": _THROW + _GETTER + "trap(window, 'crypto');",
    "json-patched": "JSON.stringify = () => undefined; JSON.parse = () => null;",
    "json-throws": _THROW + "JSON.stringify = bomb; JSON.parse = bomb;",
    "tojson": "Array.prototype.toJSON = function () { return 'x'; }; String.prototype.toJSON = () => 1;",
    "getters-throw": _THROW
    + _GETTER
    + "for (const name of ['title', 'referrer', 'cookie', 'hidden', 'readyState', 'documentElement'])"
    " trap(document, name);",
    "more-getters-throw": _THROW
    + _GETTER
    + "for (const name of ['performance', 'innerHeight', 'scrollY', 'navigator', 'history']) trap(window, name);",
    "script-hidden": _THROW
    + _GETTER
    + "trap(document, 'currentScript'); document.querySelector = bomb; document.querySelectorAll = bomb;",
    "listeners-throw": _THROW + "EventTarget.prototype.addEventListener = bomb;",
    "observers-gone": _DEFINE + "put(window, 'IntersectionObserver', undefined); put(window, 'MutationObserver', 5);",
    "promise-broken": _THROW + "Promise.resolve = bomb; Promise.prototype.then = bomb; Promise.prototype.catch = bomb;",
    "arrays-broken": _THROW
    + "for (const name of ['forEach', 'map', 'filter', 'push', 'splice', 'find', 'concat', 'includes', 'slice'])"
    " Array.prototype[name] = bomb;",
    "iterators-broken": _THROW + "Array.prototype[Symbol.iterator] = bomb;",
    "strings-broken": _THROW
    + "for (const name of ['split', 'replace', 'slice', 'match', 'padStart']) String.prototype[name] = bomb;",
    "numbers-broken": _THROW + "Math.random = bomb; Math.max = bomb; Math.min = bomb; Date.now = bomb;",
    "dates-broken": _THROW + "window.Date = function () { throw new Error('sabotage'); };",
    "timers-throw": _THROW + "window.setTimeout = bomb; window.clearTimeout = bomb;",
    "timers-gone": _DEFINE + "put(window, 'setTimeout', undefined);",
    "blob-gone": _DEFINE + "put(window, 'Blob', undefined);",
    "elements-broken": _THROW + "for (const name of ['closest', 'getAttribute', 'querySelectorAll', 'matches'])"
    " Element.prototype[name] = bomb;",
    "history-locked": "for (const name of ['pushState', 'replaceState'])"
    " Object.defineProperty(history, name, { value: history[name], writable: false });",
    "console-throws": _THROW + "for (const name of Object.keys(console)) console[name] = bomb;"
    " history.replaceState(null, '', '?ml_debug');",
    "name-taken": "Object.defineProperty(window, 'BunoraaML', { get: () => undefined, set: () => {"
    " throw new Error('sabotage'); } });",
}

// Written by frontend/build.mjs from frontend/src/types.ts; do not edit.

export type EventType =
  | "page_view"
  | "page_engagement"
  | "product_view"
  | "product_list_view"
  | "product_click"
  | "search"
  | "search_click"
  | "cart_add"
  | "cart_remove"
  | "cart_update"
  | "cart_view"
  | "checkout_start"
  | "checkout_step"
  | "purchase"
  | "wishlist_add"
  | "wishlist_remove"
  | "review_submit"
  | "click"
  | "form_interaction"
  | "rec_impression"
  | "rec_click"
  | "consent_change"
  | "custom"
  | "view_item"
  | "view_item_list"
  | "select_item"
  | "add_to_cart"
  | "remove_from_cart"
  | "view_cart"
  | "begin_checkout"
  | "add_shipping_info"
  | "add_payment_info"
  | "add_to_wishlist"
  | "view_search_results"
  | "Product Viewed"
  | "Product List Viewed"
  | "Product Clicked"
  | "Product Added"
  | "Product Removed"
  | "Cart Viewed"
  | "Checkout Started"
  | "Checkout Step Completed"
  | "Order Completed"
  | "Products Searched"
  | "Product Added to Wishlist"
  | "Product Removed from Wishlist"
  | "Product Reviewed";

export type Data = Record<string, unknown>;

/** One event as it travels; what the server knows better (user, visitor, address, time of arrival) is not in it. */
export interface WireEvent {
  event_id: string;
  event_type: EventType;
  /** ISO 8601, by this device's clock. */
  timestamp: string;
  session_id: string;
  page_url: string;
  page_view_id: string;
  referrer?: string;
  data: Data;
}

/** Records an event of the page that is open. Returns its id. */
export type Recorder = (type: EventType, data?: Data) => string;

export interface Product extends Data {
  product_id: string | number;
  product_name?: string;
  category?: string;
  /** Major units, such as 99.99. */
  price?: number | string;
  currency?: string;
  source_page?: string;
  position?: number;
}

export interface CartLine extends Data {
  product_id: string | number;
  quantity?: number;
  price?: number | string;
  variant?: string;
}

export interface Checkout extends Data {
  step?: number;
  step_name?: string;
}

export interface Purchase extends Data {
  order_id: string | number;
  order_value?: number | string;
  items_count?: number;
}

export interface Search extends Data {
  query: string;
  results_count?: number;
}

/** `window.BunoraaML`. No method throws. */
export interface Tracker {
  trackProductView(product: Product): void;
  trackAddToCart(line: CartLine): void;
  trackRemoveFromCart(line: CartLine): void;
  trackCheckout(step: Checkout): void;
  trackPurchase(purchase: Purchase): void;
  trackSearch(search: Search): void;
  /** An event of the vocabulary, or any name of your own. */
  track(name: EventType | (string & {}), data?: Data): void;
  /** Send what waits now. */
  flush(): void;
  /** What the visitor decided; kept in a cookie of this site. Denied: nothing is sent or kept any more. */
  consent(state: "granted" | "denied"): void;
}

declare global {
  interface Window {
    BunoraaML?: Tracker;
  }
}

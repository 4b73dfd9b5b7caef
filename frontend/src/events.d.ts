// Written by frontend/event_types.py from the event's declaration; do not edit.

/** The vocabulary. */
export type EventName =
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
  | "purchase_seen"
  | "refund"
  | "wishlist_add"
  | "wishlist_remove"
  | "review_submit"
  | "click"
  | "form_interaction"
  | "rec_served"
  | "rec_impression"
  | "rec_click"
  | "identity_link"
  | "consent_change"
  | "custom";

/** What a browser may send. */
export type BrowserEventName =
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
  | "purchase_seen"
  | "wishlist_add"
  | "wishlist_remove"
  | "review_submit"
  | "click"
  | "form_interaction"
  | "rec_impression"
  | "rec_click"
  | "consent_change"
  | "custom";

/** Names of other vocabularies that are understood too. */
export type EventAlias =
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
  | "Order Refunded"
  | "Products Searched"
  | "Product Added to Wishlist"
  | "Product Removed from Wishlist"
  | "Product Reviewed";

/** One product inside an event that is about several (a purchase, an impression list). */
export interface EventItem {
  product_id: string;
  variant_id?: string | null;
  quantity?: number;
  /** Minor units of the event's currency. */
  unit_price?: number | null;
  position?: number | null;
}

/** One row of the lake. Field order is column order; data is stored as one JSON column. */
export interface Event {
  /** UUID text: UUIDv7 from the client, else uuid5(NAMESPACE, batch_id + ":" + index). */
  event_id: string;
  event_type: string;
  /** When it happened, skew-corrected, aware UTC. */
  event_time: string;
  /** When the server took it, aware UTC. */
  received_at: string;
  /** js, middleware, server, outbox, sync or import. */
  source?: string;
  site?: string;
  session_id?: string | null;
  /** From the signed cookie, never from the client. */
  anonymous_id?: string | null;
  /** External user id from the server's own session or an order, never from the client. */
  user_id?: string | null;
  page_view_id?: string | null;
  page_url?: string | null;
  referrer?: string | null;
  /** Canonical (parent) product id. */
  product_id?: string | null;
  variant_id?: string | null;
  quantity?: number | null;
  /** Minor units of currency. */
  unit_price?: number | null;
  currency?: string | null;
  items?: EventItem[];
  order_id?: string | null;
  query?: string | null;
  search_id?: string | null;
  rec_id?: string | null;
  placement?: string | null;
  position?: number | null;
  /** Grows when an order changes; readers take the highest of an event_id. */
  revision?: number;
  ip_prefix?: string | null;
  /** Only where the shop sets anonymize_ip False. */
  ip_address?: string | null;
  /** ISO 3166-1 code, looked up before the address was cut. */
  country?: string | null;
  /** ISO 3166-2 code, such as DE-BY. */
  region?: string | null;
  device_type?: string | null;
  browser?: string | null;
  os?: string | null;
  is_bot?: boolean;
  bot_reason?: string | null;
  /** granted or implied; what was denied is not recorded. */
  consent?: string | null;
  /** Everything without a column of its own. */
  data?: Record<string, unknown>;
}

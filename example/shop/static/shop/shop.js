"use strict";
// What the pages tell the tracker: a page brings its data as JSON, this file hands it over.
(function () {
  function data(id) {
    var element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  }
  if (window.BunoraaML) {
    var product = data("track-product-view");
    if (product) window.BunoraaML.trackProductView(product);
    var search = data("track-search");
    if (search && window.BunoraaML.trackSearch) window.BunoraaML.trackSearch(search);
    var purchase = data("track-purchase");
    if (purchase && window.BunoraaML.trackPurchase) window.BunoraaML.trackPurchase(purchase);
  }
  var sort = document.querySelector(".filters select");
  if (sort) sort.addEventListener("change", function () { sort.form.requestSubmit(); });
})();

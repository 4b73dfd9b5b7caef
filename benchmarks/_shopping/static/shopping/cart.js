"use strict";
// What the guide shows under "Track Cart Events", for the forms of the demo shop.
(function () {
  var tracker = window.BunoraaML;
  function number(element) {
    return Number(element.value);
  }
  document.querySelectorAll("form.buy").forEach(function (form) {
    form.addEventListener("submit", function () {
      tracker.trackAddToCart({ product_id: form.elements.product.value, quantity: number(form.elements.quantity) });
    });
  });
  document.querySelectorAll('form[action="/cart/change/"]').forEach(function (form) {
    var field = form.querySelector("input[type=number]");
    var before = number(field);
    form.addEventListener("submit", function (event) {
      var wanted = event.submitter && event.submitter.name ? Number(event.submitter.value) : number(field);
      var line = { product_id: form.elements.line.value.split(":")[0], quantity: Math.abs(wanted - before) };
      if (wanted < before) tracker.trackRemoveFromCart(line);
      if (wanted > before) tracker.trackAddToCart(line);
    });
  });
})();

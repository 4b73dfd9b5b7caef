"""The demo shop's addresses and the employee's."""

from bunoraa import urls
from django.urls import path

from benchmarks._shopping.pages import desk

urlpatterns = [path("desk/<slug:number>/<slug:status>/", desk), *urls.urlpatterns]

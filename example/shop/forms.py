from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm

from .cart import MOST

SORTS = {
    "sold": ("Best sellers first", ["-sold", "-created_at", "id"]),
    "new": ("Newest first", ["-created_at", "-id"]),
    "price": ("Price, low to high", ["price", "id"]),
    "-price": ("Price, high to low", ["-price", "id"]),
    "name": ("Name, A to Z", ["name", "id"]),
}


class FilterForm(forms.Form):
    """Sort and price range of a list; whatever is not valid is left out."""

    sort = forms.ChoiceField(choices=[(key, label) for key, (label, _) in SORTS.items()], required=False)
    low = forms.DecimalField(label="From", min_value=0, max_digits=9, decimal_places=2, required=False)
    high = forms.DecimalField(label="to", min_value=0, max_digits=9, decimal_places=2, required=False)
    sale = forms.BooleanField(label="On sale", required=False)

    def apply(self, products):
        self.is_valid()
        chosen = self.cleaned_data
        if chosen.get("low") is not None:
            products = products.filter(price__gte=chosen["low"])
        if chosen.get("high") is not None:
            products = products.filter(price__lte=chosen["high"])
        if chosen.get("sale"):
            products = products.on_sale()
        return products.order_by(*SORTS[chosen.get("sort") or "sold"][1])


class AddForm(forms.Form):
    product = forms.IntegerField()
    variant = forms.CharField(max_length=40, required=False)
    quantity = forms.IntegerField(min_value=1, max_value=MOST, initial=1)


class CheckoutForm(forms.Form):
    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    name = forms.CharField(max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    address = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autocomplete": "street-address"}))
    postcode = forms.CharField(max_length=16, widget=forms.TextInput(attrs={"autocomplete": "postal-code"}))
    city = forms.CharField(max_length=80, widget=forms.TextInput(attrs={"autocomplete": "address-level2"}))


class LoginForm(AuthenticationForm):
    username = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "email"}))


class RegisterForm(BaseUserCreationForm):
    username = forms.EmailField(
        label="E-mail", max_length=150, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    first_name = forms.CharField(label="Name", max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"}))

    class Meta:
        model = get_user_model()
        fields = ["first_name", "username"]

    def clean_username(self):
        username = self.cleaned_data["username"].lower()
        if get_user_model().objects.filter(username=username).exists():
            raise forms.ValidationError("There is an account with this e-mail already.")
        return username

    def save(self, commit=True):
        user = super().save(commit=False)
        user.email = user.username
        if commit:
            user.save()
        return user

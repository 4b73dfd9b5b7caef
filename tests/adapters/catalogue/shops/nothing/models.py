"""A project that sells nothing."""

from django.db import models


class Article(models.Model):
    headline = models.CharField(max_length=100)
    body = models.TextField()


class Comment(models.Model):
    article = models.ForeignKey(Article, on_delete=models.CASCADE)
    text = models.TextField()

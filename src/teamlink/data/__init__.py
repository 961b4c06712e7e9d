"""Tables in, validated tables out."""

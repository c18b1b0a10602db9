//! Which deliveries a reader keeps: floors of epochs, from claims in the lanes and from the topic `claims` (design 3.2).

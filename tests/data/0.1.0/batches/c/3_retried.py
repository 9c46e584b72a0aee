do = "retry"
lr = 0.3

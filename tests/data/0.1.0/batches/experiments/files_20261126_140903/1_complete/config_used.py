do = "complete"
lr = 0.1

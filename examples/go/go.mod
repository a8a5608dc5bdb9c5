module example/serve

go 1.19

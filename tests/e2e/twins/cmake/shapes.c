double rectangle(double width, double height) { return width * height; }
